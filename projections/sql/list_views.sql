select name, version, position from views order by name
