-- $1 project, $2 task, $3 role, $4 tool calls made just now, $5 at, $6 position
update agents a set tool_calls = a.tool_calls + $4, last_seen_at = $5, last_seen_position = $6
from agent_engagements e
where e.project = $1 and e.task = $2 and e.role = $3 and a.project = $1 and a.agent = e.agent
