-- $1 view, $2 version
select position from views where name = $1 and version = $2
