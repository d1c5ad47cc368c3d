-- $1 of which partitions, $2 seconds, $3 how many at most
delete from asks where (project, id) in (
    select project, id from asks
    where partition = any ($1::integer[]) and deadline <= statement_timestamp() - make_interval(secs => $2)
      and answer is not null
    limit $3 for update skip locked
)
