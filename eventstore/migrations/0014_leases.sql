-- Named leases: who of many processes does something that one is enough for (the mirror). No fence.
create table leases (
    name text primary key,
    owner uuid not null,
    epoch bigint not null,
    expires_at timestamptz not null
) with (fillfactor = 50);
