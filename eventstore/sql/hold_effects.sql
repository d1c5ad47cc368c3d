-- $1 projects, $2 keys, $3 claims, $4 time to live in seconds
update effects e set claimed_until = clock_timestamp() + make_interval(secs => $4)
from unnest($1::text[], $2::text[], $3::uuid[]) as held(project, key, claim)
where e.project = held.project and e.key = held.key and e.claim = held.claim
returning e.claim, e.state = 'withdrawn' as withdrawn, e.note
