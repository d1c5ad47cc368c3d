select id, project, kind, name, version, fenced from streams where project = $1 and kind = $2 and name = $3
