select current_schema()::text as name, origin, position, at, live, created_at, resumed_at from fork
