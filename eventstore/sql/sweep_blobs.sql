-- One element a blob: $1 projects, $2 hashes; $3 grace in seconds, $4 what begin_blob_sweep returned, $5 events and
-- inbox rows that may be searched under the log's lock; no row: there are more
select blobs, size from sweep_blobs($1, $2, $3, $4::text::xid8, $5)
