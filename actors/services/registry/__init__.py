"""The registry: which agents exist, what each can do and how busy it is."""
