-- $1 project, $2 from day, $3 to day (null: open), $4 what to tell apart (day, role, agent, provider, model), $5 agent
-- (null: all), $6 limit. What is not told apart is null.
select case when 'day' = any($4::text[]) then day end as day,
       case when 'role' = any($4) then role end as role,
       case when 'agent' = any($4) then agent end as agent,
       case when 'provider' = any($4) then provider end as provider,
       case when 'model' = any($4) then model end as model,
       sum(requests)::bigint as requests, sum(errors)::bigint as errors,
       sum(tokens_in)::bigint as tokens_in, sum(tokens_out)::bigint as tokens_out,
       sum(priced)::bigint as priced, sum(cost_micros)::bigint as cost_micros
from llm_usage
where project = $1 and ($2::date is null or day >= $2) and ($3::date is null or day <= $3)
  and ($5::text is null or agent = $5)
group by 1, 2, 3, 4, 5
order by 1, 2, 3, 4, 5
limit $6
