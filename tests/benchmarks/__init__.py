"""Benchmarks: `bin/bench NAME` prints one JSON object with conditions, figures and ratios. Never part of the tests."""
