"""The log in this process, for simulations and tests."""
