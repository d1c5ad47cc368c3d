insert into event_types overriding system value select * from origin.event_types
