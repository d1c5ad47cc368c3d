-- Where the partitions stand; a witness is "stream-sequence-time".
select id, cursor, witness,
       (cursor = 0 and witness = '') or witness ~ ('-' || cursor::text || '-[0-9]+$') as known
from partitions order by id
