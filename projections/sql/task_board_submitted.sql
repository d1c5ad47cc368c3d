-- $1 project, $2 task, $3 title, $4 repo, $5 at, $6 position, $7 person, $8 contact (sealed)
insert into tasks (project, task, title, repo, person, contact, status, submitted_at, submitted_position, position)
values ($1, $2, $3, $4, $7, $8, 'submitted', $5, $6, $6)
on conflict (project, task) do update
    set title = excluded.title, repo = excluded.repo, person = excluded.person, contact = excluded.contact
