insert into partitions (id) select p from unnest($1::integer[]) p order by p on conflict do nothing
