-- $1 project, $2 task, $3 role, $4 outcome, $5 whether the registry says so, $6 at, $7 position.
-- An engagement the registry chose ends by the registry's word only, so that in_flight is what it counts too.
with closed as (
    update agent_engagements set open = false
    where project = $1 and task = $2 and role = $3 and open and chosen <= $5::boolean
    returning agent
)
update agents a set
    in_flight = a.in_flight - 1,
    done = a.done + ($4::text = 'completed')::integer,
    failed = a.failed + ($4 = 'failed')::integer,
    last_seen_at = $6, last_seen_position = $7
from closed where a.project = $1 and a.agent = closed.agent
