-- $1 view, $2 the row in `views` of its build beside, whose position is that of the first range
select r.number, r.first_position, r.last_position, v.version, v.build, v.position
from view_ranges r join views v on v.name = $2 || case when r.number > 1 then '.' || r.number else '' end
where r.view = $1 order by r.number
