"""Metrics, health and logs of one running company. See README.md for every metric and check."""
