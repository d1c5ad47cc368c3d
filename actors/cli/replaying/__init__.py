"""What `troupe replay` does beside printing the log: publishing it, and showing what actors were at any position."""
