-- One view's rows of a table that has those of all; table and view are put in
create temporary table served_quarantines on commit drop as select * from {table} where view = '{view}'
