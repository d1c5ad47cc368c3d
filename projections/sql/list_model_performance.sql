-- $1 project, $2 from day, $3 to day (null: open), $4 limit
select provider, model, completions, failures,
       completions::double precision / nullif(completions + failures, 0) as success_rate,
       tokens_in, tokens_out, priced, cost_micros, measured,
       latency_us / 1e6::double precision / nullif(measured, 0) as latency_s,
       case when measured > 0 then latency_max_us / 1e6::double precision end as latency_max_s,
       asked_tools, asked_tools::double precision / nullif(completions, 0) as asked_tools_rate, tool_calls,
       deliveries, delivered, delivered::double precision / nullif(deliveries, 0) as delivered_rate
from (
    select provider, model,
           sum(completions)::bigint as completions, sum(failures)::bigint as failures,
           sum(tokens_in)::bigint as tokens_in, sum(tokens_out)::bigint as tokens_out,
           sum(priced)::bigint as priced, sum(cost_micros)::bigint as cost_micros,
           sum(measured)::bigint as measured, sum(latency_us)::bigint as latency_us,
           max(latency_max_us) as latency_max_us,
           sum(asked_tools)::bigint as asked_tools, sum(tool_calls)::bigint as tool_calls,
           sum(deliveries)::bigint as deliveries, sum(delivered)::bigint as delivered
    from model_performance
    where project = $1 and ($2::date is null or day >= $2) and ($3::date is null or day <= $3)
    group by provider, model) of_model
order by provider, model
limit $4
