select id, owner, epoch, extract(epoch from expires_at - clock_timestamp())::float8 as expires_in_s
from partitions where owner is not null order by id
