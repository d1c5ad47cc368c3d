-- $1 partitions
delete from attempts where partition = any ($1::integer[])
