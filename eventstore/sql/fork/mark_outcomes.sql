-- What recorded outcomes name is in use, although nothing in the fork's log names it yet.
insert into blob_marks (project, sha256)
select distinct r.project, name from recorded_outcomes r, names_in(r.body) name
on conflict do nothing
