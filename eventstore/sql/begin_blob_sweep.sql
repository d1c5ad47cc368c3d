-- The transaction from which on later rows were not seen.
select begin_blob_sweep()::text
