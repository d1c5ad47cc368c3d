-- $1 project, $2 sha256, $3 from that byte on (0), $4 so many
select substr(content, $3 + 1, $4) from blobs where project = $1 and sha256 = $2
