-- of a table whose name is put in
select count(*) from {table}
