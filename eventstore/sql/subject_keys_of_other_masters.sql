-- $1 the id of a master key, $2 limit, $3 subjects' keys only: what is wrapped under other ones
select s.id, s.project, s.subject, s.master, s.wrapped, s.created_at, s.forgotten_at
from master_keys m join subject_keys s on s.master = m.id
where m.id <> $1 and s.wrapped is not null and (not $3 or s.subject <> '') limit $2
