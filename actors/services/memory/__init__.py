"""Memory: what the company remembers of earlier work."""
