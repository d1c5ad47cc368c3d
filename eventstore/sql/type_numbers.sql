-- $1 tags: the ids of those that were ever written.
select tag, id from event_types where tag = any ($1::text[])
