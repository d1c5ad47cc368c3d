-- $1 master key's id; one element a key: $2 ids, $3 projects, $4 hashes of subjects, $5 wrapped bytes
select id, project, subject, master, wrapped, created_at, forgotten_at from add_subject_keys($1, $2, $3, $4, $5)
