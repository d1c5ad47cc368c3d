-- $1 position
-- Settled by then: by an event that is there, or without any before the first commit that is not (or not whole) there.
-- That commit's own rows have its xmin, and an earlier time where they were written before it was sealed. What was settled
-- silently in a commit that the position cuts counts as not settled: it will be silent again.
insert into inbox
select i.* from origin.inbox i
left join (select at, xmin from origin.commits where last_position > $1 order by last_position limit 1) beyond on true
where case when i.first_position > 0 then i.first_position <= $1
           else beyond.at is null or (i.at < beyond.at and i.xmin <> beyond.xmin) end
