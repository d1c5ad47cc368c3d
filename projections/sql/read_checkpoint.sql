select version, position from views where name = $1 for update
