"""What every actor runs on: kinds, turns, commits, effects, timers and the bus."""
