"""The orchestrator: a role like the others, and the one who plans, assigns and follows."""
