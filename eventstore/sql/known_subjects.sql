-- $1 project, $2 hashes of subjects: the current key of each, and when an earlier one was forgotten for the last time
select wanted.subject, k.id, k.project, k.master, k.wrapped, k.created_at, (
    select max(f.forgotten_at) from subject_keys f
    where f.project = $1 and f.subject = wanted.subject and f.forgotten_at is not null
) as last_forgotten_at
from unnest($2::bytea[]) as wanted(subject)
left join subject_keys k on k.project = $1 and k.subject = wanted.subject and k.forgotten_at is null
