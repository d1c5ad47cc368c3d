-- A send is settled when an event names it as its cause, or the inbox has it (it broke its actor).
insert into outbox (project, kind, name, partition, key, sender, type, at, correlation, causation, body)
select w.project, w.kind, w.name, w.partition, w.key, w.sender, w.type, w.at, w.correlation, w.causation, w.body
from wanted_sends w
where not exists (select from events e join streams s on s.id = e.stream_id
                  where s.project = w.project and e.causation = w.key)
  and not exists (select from inbox i where i.project = w.project and i.id = w.key and i.outbox > 0)
order by w.position, w.n
