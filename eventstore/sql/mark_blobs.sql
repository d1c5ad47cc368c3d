-- $1 at most so many events and inbox rows; whether more may be left
select mark_blobs($1)
