"""One file per paper: its experiments, what it says and what is observed."""
