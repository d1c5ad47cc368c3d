"""Tools: every touch of the world a role asks for, run in a sandbox and recorded."""
