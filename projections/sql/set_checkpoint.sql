-- Other tables than before stand behind the row: a new build, of which nothing is verified yet
insert into views (name, version, position, build) values ($1, $2, $3, nextval('view_builds'))
on conflict (name) do update set version = excluded.version, position = excluded.position, build = excluded.build,
    verified_at = null, verified_position = null, verified_differences = null
returning build
