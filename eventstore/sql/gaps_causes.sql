-- $1 after, $2 up to, $3 up to where no inbox row is asked for. The first event in between whose cause is not there.
-- `offset 0` keeps the look-ups look-ups. A place is kind, name and version of the event that wanted something, and
-- whether it is the outcome of an effect.
select e.position, s.project, s.kind || '/' || s.name as actor, e.causation as what,
       case when p.place is null or p.place[4] = ':outcome' then 'cause' else 'sender' end as wrong
from events e,
     lateral (select project, kind, name, fenced from streams where id = e.stream_id offset 0) s,
     lateral (select regexp_match(
         e.causation, '^([^/@]+)/([^/@]+)@([0-9]{1,18})\.[0-9]+(?::[A-Za-z0-9_-]+)??(:outcome|:unknown\.[0-9]+)?$'
     ) as place offset 0) p
where e.position > $1 and e.position <= $2
  and s.fenced and s.kind not in ('runtime', 'subject') and not starts_with(e.causation, 'timer:')
  and not (
    (p.place is null or exists (
        select from streams x join events y on y.stream_id = x.id
        where x.project = s.project and x.kind = p.place[1] and x.name = p.place[2] and y.version = p.place[3]::bigint
          and y.position < e.position))
    and ((p.place is not null and p.place[4] is distinct from ':outcome') or e.position <= $3 or exists (
        select from inbox i
        where i.project = s.project and i.id = e.causation and i.kind = s.kind and i.name = s.name
          and i.outcome = 'accepted' and i.first_position <= e.position
          and e.position < i.first_position + i.events)))
order by e.position
limit 1
