"""Reads of the views over NATS, as a NATS micro service. See README.md."""
