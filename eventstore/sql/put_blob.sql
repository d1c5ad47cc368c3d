-- $1 project, $2 sha256, $3 content, $4 the digests it names
select put_blob($1, $2, $3, $4)
