-- $1 project, $2 kind, $3 name, $4 schema
select n.version, n.sha256, n.body
from streams s join snapshots n on n.stream_id = s.id
where s.project = $1 and s.kind = $2 and s.name = $3 and n.schema = $4 and n.version <= s.version
