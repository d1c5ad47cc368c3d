insert into blob_names select n.* from origin.blob_names n where exists (select from blobs b where b.body = n.body)
