select id, project, kind, name from streams where id = any ($1::bigint[])
