-- Of whole blobs; uploads on their way stay where they are.
insert into blob_chunks select c.* from origin.blob_chunks c where exists (select from blobs b where b.body = c.body)
