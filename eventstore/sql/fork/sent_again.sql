-- $1 position. What had waited for actors that went on by then, and was not decided yet.
insert into outbox (id, project, kind, name, partition, key, sender, type, at, correlation, causation, body)
    overriding system value
select w.sent_as, w.project, w.kind, w.name, w.partition, w.key,
       coalesce(h.headers ->> 'Troupe-Sender', h.headers ->> 'ce-source', ''), w.type, w.at, w.correlation,
       'runtime/' || w.partition || '@' || e.version, w.body
from past_waits w
join events e on e.position = w.until,
     lateral (select convert_from(w.headers, 'UTF8')::jsonb as headers) h
where w.until <= $1 and w.sent_as is not null
  and not exists (select from inbox i where i.project = w.project and i.id = w.key and i.outbox = w.sent_as)
