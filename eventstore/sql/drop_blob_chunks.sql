-- $1 at most so many; whether more may be left
select drop_blob_chunks($1)
