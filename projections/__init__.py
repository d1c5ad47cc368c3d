"""Readers of the log that fold it into tables people can query. See README.md for how to add a view."""
