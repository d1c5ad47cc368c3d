-- $1 project, $2 task, $3 role, $4 day, $5 provider, $6 model, $7 answered, $8 failed, $9 tokens in, $10 tokens out,
-- $11 priced, $12 millionths of a US dollar, $13 position
insert into llm_usage as u
    (project, day, role, agent, provider, model, requests, errors, tokens_in, tokens_out, priced, cost_micros,
     last_position)
values ($1, $4, $3,
    coalesce((select agent from llm_usage_agents where project = $1 and task = $2 and role = $3), ''),
    $5, $6, $7, $8, $9, $10, $11, $12, $13)
on conflict (project, day, role, agent, provider, model) do update
    set requests = u.requests + excluded.requests, errors = u.errors + excluded.errors,
        tokens_in = u.tokens_in + excluded.tokens_in, tokens_out = u.tokens_out + excluded.tokens_out,
        priced = u.priced + excluded.priced, cost_micros = u.cost_micros + excluded.cost_micros,
        last_position = excluded.last_position
