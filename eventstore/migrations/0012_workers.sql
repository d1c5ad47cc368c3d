-- The processes of a company: who is alive is who has said so lately. Leases of partitions name their owner by its id.
create table workers (
    id uuid primary key,
    alone boolean not null,          -- holds the lock of its state folder: a newer one of those knows that it is dead
    effects text[] not null,         -- the kinds of effects it performs
    host text not null,
    pid integer not null,
    joined_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null
) with (fillfactor = 50);
