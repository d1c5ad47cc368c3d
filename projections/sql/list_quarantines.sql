-- $1 the row in `views`
select view, project, kind, name, first_position, reason, events, position, at
from view_quarantines where view = $1 order by first_position
