"""The commands, one file each: a command reads its options, calls the Python API, and prints."""
