-- $1 project, $2 kind, $3 name, $4 key: after these; $5 limit. By bytes, as every other reader compares them.
select project, kind, name, key, type, '' as sender, body
from parked_commands
where (project collate "C", kind collate "C", name collate "C", key collate "C") > ($1, $2, $3, $4)
order by project collate "C", kind collate "C", name collate "C", key collate "C"
limit $5
