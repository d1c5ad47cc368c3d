"""The router: every completion a role asks for goes through it."""
