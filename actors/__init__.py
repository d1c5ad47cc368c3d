"""The company: its runtime, its roles, its services, its edge, its host and its command line."""
