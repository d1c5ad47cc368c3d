-- The first time only: what was to happen in an hour at the position happens an hour from now.
with resumed as (
    update fork set resumed_at = clock_timestamp() where resumed_at is null returning resumed_at - at as passed
), moved as (
    update timers set due = due + passed from resumed
)
select exists (select from resumed)
