-- $1 partitions, $2 owner, $3 time to live in seconds, $4 take over what another still holds
-- Rows are locked in the order of their ids, as the commit does: two owners can wait, never deadlock.
-- What is ours already is acquired again: the answer of an acquisition may have been lost.
with free as (
    select id, owner as former from partitions
    where id = any ($1::integer[]) and ($4::boolean or owner is null or owner = $2 or expires_at < clock_timestamp())
    order by id
    for update
)
update partitions p set epoch = epoch + 1, owner = $2, expires_at = clock_timestamp() + make_interval(secs => $3)
from free where p.id = free.id
returning p.id, epoch, owner, cursor, witness, free.former is null as clean
