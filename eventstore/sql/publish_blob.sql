-- $1 upload, $2 sha256, $3 size; false: the upload was collected
select publish_blob($1, $2, $3)
