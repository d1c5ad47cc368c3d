"""nats-server and PostgreSQL in the state folder, run from the wheels' own programs."""
