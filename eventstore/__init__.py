"""The append-only log: one port, two adapters, one conformance suite."""
