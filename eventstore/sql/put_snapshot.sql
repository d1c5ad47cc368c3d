-- $1 project, $2 kind, $3 name, $4 version, $5 schema, $6 sha256 over everything, $7 body; false: not taken
select put_snapshot($1, $2, $3, $4, $5, $6, $7)
