-- $1 project, $2 kind (null: all), $3 limit
select kind, type, events, at as last_at, position as last_position
from event_counts where project = $1 and ($2::text is null or kind = $2) order by kind, type limit $3
