-- $1 how many orders at most
-- A cancelled effect was wanted before its order: the same name wanted again is another effect.
with orders as (
    select project, kind, name, key, convert_from(body, 'UTF8')::jsonb as said from effects
    where effect_kind = 'runtime-withdraw' or (effect_kind = 'runtime-deadline' and at <= clock_timestamp())
    order by effect_kind, at
    limit $1
    for update skip locked
), meant as (
    select e.project, e.key, o.said ->> 'note' as note
    from orders o join effects e on e.project = o.project and e.key = o.said ->> 'key'
    union all
    select e.project, e.key, o.said ->> 'note'
    from orders o join effects e
      on e.project = o.project and e.kind = o.kind and e.name = o.name and strpos(e.key, ':') > 0
     and split_part(e.key, ':', 2) = o.said ->> 'name'
     and (substring(e.key from '@(\d+)\.')::bigint, substring(e.key from '@\d+\.(\d+)')::bigint)
         < ((o.said ->> 'version')::bigint, (o.said ->> 'place')::bigint)
    where not e.effect_kind in ('runtime-withdraw', 'runtime-deadline')
), carried_out as (
    delete from effects e using orders o where e.project = o.project and e.key = o.key
), withdrawn as (
    update effects e set state = 'withdrawn', note = m.note, due = least(e.due, clock_timestamp())
    from meant m
    where e.project = m.project and e.key = m.key and e.state in ('', 'again')
    returning e.effect_kind
)
select distinct effect_kind from withdrawn order by effect_kind
