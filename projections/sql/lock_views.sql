select current_schema() from (select pg_advisory_xact_lock(hashtextextended(current_schema() || ':views', 0))) locked
