-- $1 grace in seconds
select expire_blob_uploads($1)
