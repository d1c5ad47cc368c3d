select id, tag from event_types
