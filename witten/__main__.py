"""`python -m witten` is the command `witten`."""

from witten.cli import main

main()
