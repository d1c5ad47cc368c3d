-- $1 project, $2 kind, $3 name, $4 after version, $5 up to version, $6 limit, $7 type ids, $8 correlation; null leaves a
-- field open
select position, stream_id, version, type_id, at, correlation, causation, body from events
where stream_id = (select id from streams where project = $1 and kind = $2 and name = $3)
  and version > $4 and version <= $5
  and ($7::smallint[] is null or type_id = any ($7)) and ($8::text is null or correlation = $8)
order by version desc
limit $6
