-- $1 of which partitions
select extract(epoch from min(deadline) - statement_timestamp())::double precision from asks
where partition = any ($1::integer[]) and answer is null
