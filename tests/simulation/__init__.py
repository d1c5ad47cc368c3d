"""The runtime in the simulation: seeds, the loop itself, and what its checkers can see."""
