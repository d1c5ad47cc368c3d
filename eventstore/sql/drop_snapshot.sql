-- $1 project, $2 kind, $3 name
delete from snapshots n using streams s
where s.project = $1 and s.kind = $2 and s.name = $3 and n.stream_id = s.id
