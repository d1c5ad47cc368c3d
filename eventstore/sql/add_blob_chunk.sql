-- $1 upload, $2 number of the chunk, $3 bytes, $4 the digests they name; false: the upload was collected
select add_blob_chunk($1, $2, $3, $4)
