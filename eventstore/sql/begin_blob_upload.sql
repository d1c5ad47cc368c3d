-- $1 project
insert into blob_uploads (project) values ($1) returning body
