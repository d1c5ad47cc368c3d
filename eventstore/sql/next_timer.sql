-- $1 of which partitions (null: of all)
select extract(epoch from min(due) - clock_timestamp())::double precision from timers
where $1::integer[] is null or partition = any ($1::integer[])
