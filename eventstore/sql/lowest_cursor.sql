select id, cursor, witness from partitions order by cursor, id limit 1
