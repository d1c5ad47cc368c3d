-- One row a day and model. Of a failed completion provider and model are those that were asked, '' where the log does
-- not say. A rate, or an average, of nothing is null.
create table model_performance (
    project text not null,
    day date not null,                          -- UTC
    provider text not null,
    model text not null,
    completions bigint not null,                -- that came back
    failures bigint not null,                   -- that were given up
    tokens_in bigint not null,
    tokens_out bigint not null,
    priced bigint not null,                     -- of the completions, those whose price is known
    cost_micros bigint not null,                -- of those, in millionths of a US dollar
    asked_tools bigint not null,                -- completions that called any tool
    tool_calls bigint not null,                 -- what they called
    measured bigint not null,                   -- completions whose time is known
    latency_us bigint not null,                 -- of those, in microseconds
    latency_max_us bigint not null,
    failed_us bigint not null,                  -- what the failures took, as far as it is known
    deliveries bigint not null,                 -- of roles that the model had answered
    delivered bigint not null,                  -- of those, the completed ones
    position bigint not null,                   -- the last of all these
    at timestamptz not null,
    success_rate double precision generated always as
        (completions::double precision / nullif(completions + failures, 0)) stored,
    latency_s double precision generated always as (latency_us / 1e6 / nullif(measured, 0)) stored,
    latency_max_s double precision generated always as
        (case when measured > 0 then latency_max_us / 1e6 end) stored,
    asked_tools_rate double precision generated always as
        (asked_tools::double precision / nullif(completions, 0)) stored,
    delivered_rate double precision generated always as
        (delivered::double precision / nullif(deliveries, 0)) stored,
    primary key (project, day, provider, model)
);

-- Which models have answered a role since it delivered last.
create table model_roles (
    project text not null,
    task text not null,
    role text not null,
    models text[] not null,                     -- <provider>/<model>
    position bigint not null,
    at timestamptz not null,
    primary key (project, task, role)
);
