"""Pictures of runs and schedules: descent, excess risk, annealing, training of models."""
