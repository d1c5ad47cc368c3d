-- $1 partitions
select partition, project, id, outbox, count from attempts where partition = any ($1::integer[])
