-- Commands that may kill their process: how often each was begun, counted before it is. Usually empty.
create table attempts (
    partition integer not null,
    project text not null,
    id text not null,
    outbox bigint not null,           -- 0: a command from outside
    count integer not null,
    primary key (partition, project, id, outbox)
) with (fillfactor = 50);

-- Actors that were parked and went on, for forks at a position before: `until` is that of the event that says so. `sent_as`
-- is the outbox row that a command became; null: none, it had expired or was dropped.
create table past_parkings (
    like parked_actors,
    until bigint not null,
    primary key (project, kind, name, until)
);
create table past_waits (
    like parked_commands,
    until bigint not null,
    sent_as bigint,
    primary key (id)
);

-- A parked actor goes on: the log says so, what waits for it becomes sends, and whoever owns its partition loses the
-- lease, so that nothing rests on an older view of the actor. In this order, under the log's lock:
-- the killer (`p_again`), what other actors sent, what came from outside; each class in its own order.
-- Null when the actor is not parked by the command `p_killer`.
create function release_actor(
    p_project text, p_kind text, p_name text, p_partition integer,
    p_killer text, p_again boolean, p_late boolean, p_tag text, p_at timestamptz, p_body bytea
) returns table (event_version bigint, event_position bigint, sent bigint, expired bigint)
language plpgsql volatile as $$
declare
    first bigint;
    parking parked_actors;
    stream bigint;
    reference text;
begin
    perform lock_log();
    perform from partitions where id = p_partition for update;
    select k.id into first from parked_commands k
        where k.project = p_project and k.kind = p_kind and k.name = p_name and k.key = p_killer
          and not exists (select from parked_commands earlier
                          where earlier.project = p_project and earlier.kind = p_kind and earlier.name = p_name
                            and earlier.id < k.id);
    if first is null then
        return;
    end if;
    delete from parked_actors a where a.project = p_project and a.kind = p_kind and a.name = p_name
        returning * into parking;
    if not found then
        return;
    end if;

    insert into streams as s (project, kind, name, version, fenced)
        values (p_project, 'runtime', p_partition::text, 1, true)
        on conflict (project, kind, name) do update set version = s.version + 1, fenced = true
        returning s.id, s.version into stream, event_version;
    select coalesce(max(e.position), 0) + 1 into event_position from events e;
    reference := 'runtime/' || p_partition || '@' || event_version;
    insert into events (position, stream_id, version, type_id, at, correlation, causation, body)
        values (event_position, stream, event_version, (tag_ids(array[p_tag]))[1], p_at, p_name, p_killer, p_body);
    perform seal(event_position, event_position, null);
    insert into past_parkings select parking.*, event_position;

    with kept as (
        delete from parked_commands k where k.project = p_project and k.kind = p_kind and k.name = p_name
        returning k.*, not p_late and coalesce(k.deadline < clock_timestamp(), false) as lapsed
    ), mail as (
        delete from outbox o where o.project = p_project and o.kind = p_kind and o.name = p_name returning o.*
    ), counted as (
        select count(*) filter (where lapsed and (p_again or id <> first)) as lapsed from kept
    ), written as (
        insert into outbox (project, kind, name, partition, key, sender, type, at, correlation, causation, outcome_of,
                            body)
            select p_project, p_kind, p_name, p_partition, w.key, w.sender, w.type, w.at, w.correlation, w.causation,
                   w.outcome_of, w.body
            from (
                select case when k.id = first then 0 else 2 end as rank, k.id, k.key,
                       coalesce(h.headers ->> 'Troupe-Sender', h.headers ->> 'ce-source', '') as sender,
                       k.type, k.at, k.correlation, reference as causation, '' as outcome_of, k.body
                from kept k, lateral (select convert_from(k.headers, 'UTF8')::jsonb as headers) h
                where not k.lapsed and (p_again or k.id <> first)
                union all
                select 1, m.id, m.key, m.sender, m.type, m.at, m.correlation, m.causation, m.outcome_of, m.body
                from mail m) w
            order by w.rank, w.id
        returning id, key
    ), past as (
        insert into past_waits
            select k.id, k.project, k.kind, k.name, k.partition, k.key, k.type, k.at, k.correlation, k.deadline,
                   k.reply_to, k.position, k.headers, k.body, event_position, w.id
            from kept k left join written w on w.key = k.key
    )
    select (select count(*) from written), (select lapsed from counted) into sent, expired;

    update partitions set epoch = epoch + 1, owner = null, expires_at = '-infinity' where id = p_partition;
    return next;
end
$$;
