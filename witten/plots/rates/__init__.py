"""Pictures of rates: against the learning rate, beside laws, chains and other routes."""
