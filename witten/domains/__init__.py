"""Where an operator lives: boxes, and grids masked to a sublevel set."""
