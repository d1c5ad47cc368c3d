"""The functions the roles share: task, router, memory, tools and registry."""
