"""The sampling route: simulated paths of dX = -grad f dt + sqrt(s) dW, and the rates that they show."""
