-- Rows that are not the same in both tables, whose names and key are put in; $1 how many of them. A record is equal to
-- another if all its columns are, generated ones too.
select to_jsonb(s)::text as served, to_jsonb(f)::text as folded, count(*) over () as differing
from {served} s full join {folded} f using ({keys})
where s.position is null or f.position is null or to_jsonb(s) <> to_jsonb(f)
order by coalesce(f.position, s.position), {keys}
limit $1
