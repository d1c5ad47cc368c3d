-- $1 project, $2 task
select role, path, media_type, sha256, size_bytes, position
from task_artifacts where project = $1 and task = $2 order by position, ordinal
