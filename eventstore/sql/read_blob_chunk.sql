-- $1 body, $2 number of the chunk
select bytes from blob_chunks where body = $1 and n = $2
