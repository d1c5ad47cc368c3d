-- $1 project, $2 agent
select project, agent, role, capabilities, max_concurrent, in_flight, done, failed, success_rate, load, tool_calls,
       last_seen_at, last_seen_position, status
from agents where project = $1 and agent = $2
