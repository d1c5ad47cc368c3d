-- $1 after this id, $2 limit, $3 project, $4 kind; null leaves a field open
select id, project, kind, name, version, fenced from streams
where id > $1 and ($3::text is null or project = $3) and ($4::text is null or kind = $4)
order by id
limit $2
