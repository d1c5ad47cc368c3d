insert into blobs (project, sha256, content) values ($1, $2, $3) on conflict do nothing
