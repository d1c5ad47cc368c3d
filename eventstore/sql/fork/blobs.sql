-- All of them: what is to come may name any.
insert into blobs select * from origin.blobs
