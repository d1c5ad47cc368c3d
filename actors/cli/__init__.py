"""The command line, above the host."""
