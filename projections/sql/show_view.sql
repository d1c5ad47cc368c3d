select version, build, position from views where name = $1
