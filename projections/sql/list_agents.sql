-- $1 project, $2 agent (null: all), $3 limit, $4 the time up to which uptime is counted (null: now)
select a.project, a.agent, a.role, capabilities, max_concurrent, in_flight, done, failed, success_rate, load, tool_calls,
       a.at as last_seen_at, a.position as last_seen_position, status, coalesce(q.waiting, 0) as queue_depth,
       average_seconds, errors, completions, tokens_in, tokens_out, priced, cost_micros, parked,
       case when known_since < coalesce($4::timestamptz, now()) then greatest(0, least(1, 1 - (
           unavailable_seconds
           + coalesce(extract(epoch from greatest(coalesce($4, now()) - unavailable_since, interval '0')), 0)
       ) / extract(epoch from coalesce($4, now()) - known_since)))::double precision end as uptime
from agents a left join agent_queues q on q.project = a.project and q.role = a.role
where a.project = $1 and ($2::text is null or a.agent = $2) order by a.agent limit $3
