"""What `troupe doctor` looks at: one small function a question, given what it asks about, answering with a Finding."""
