"""One module a tool: pure programs that read a checkout and write one result."""
