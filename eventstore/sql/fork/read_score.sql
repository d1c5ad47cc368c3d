select version, causation from score
where project = $1 and kind = $2 and name = $3 and version > $4
order by version
limit $5
