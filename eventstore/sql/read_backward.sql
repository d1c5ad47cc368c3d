-- $1 after, $2 up to, $3 limit, $4 type ids, $5 correlation; null leaves a field open
select position, stream_id, version, type_id, at, correlation, causation, body from events
where position > $1 and position <= $2
  and ($4::smallint[] is null or type_id = any ($4)) and ($5::text is null or correlation = $5)
order by position desc
limit $3
