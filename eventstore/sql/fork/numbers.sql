-- Numbers go on where the original's stand: an outbox row or a firing of the fork is never called like one of the original.
select setval(pg_get_serial_sequence('event_types', 'id'), (select last_value from origin.event_types_id_seq)),
       setval(pg_get_serial_sequence('streams', 'id'), (select last_value from origin.streams_id_seq)),
       setval(pg_get_serial_sequence('inbox', 'n'), (select last_value from origin.inbox_n_seq)),
       setval(pg_get_serial_sequence('outbox', 'id'), (select last_value from origin.outbox_id_seq)),
       setval(pg_get_serial_sequence('timers', 'id'), (select last_value from origin.timers_id_seq)),
       setval(pg_get_serial_sequence('parked_commands', 'id'), (select last_value from origin.parked_commands_id_seq))
