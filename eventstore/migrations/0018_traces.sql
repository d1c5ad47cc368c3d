-- The traces of commands that came with one; all others can be worked out (protocol/trace.py). Usually empty.
create table traces (
    project text not null,
    key text not null,     -- an event ("tools/t1@3"), or a command that is answered later or waited for a parked actor
    trace text not null,   -- traceparent, and after a blank the tracestate if there is one
    primary key (project, key)
);

-- The key of whatever an event wanted, by its own id or key and by what it names as its cause: the event, an effect of
-- its, or the event that let a parked actor go on.
create function trace_key(id text, causation text) returns text
language sql immutable parallel safe
return case when not starts_with(causation, 'runtime/') then split_part(causation, '.', 1)
            when strpos(id, '@') > 0 then split_part(id, '.', 1)
            else id end;
