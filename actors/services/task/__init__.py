"""The task actor: one piece of work from submission to its conclusion."""
