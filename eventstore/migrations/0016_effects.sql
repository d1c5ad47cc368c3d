-- What became of an effect besides being waited for, claimed and performed; and the orders that withdraw one.
alter table effects
    -- '': to be performed. withdrawn: to be ended without. unknown: whether it happened nobody can say, and a human is
    -- asked (due is infinity then, so that no worker takes it). done, failed, again: the human's answer.
    add column state text not null default '',
    add column note text not null default '';   -- Why, in words.
create index effects_decided on effects (at, key) where state <> '';
-- Only an effect with a name of its own has a colon in its key.
create index effects_named on effects (project, kind, name) where strpos(key, ':') > 0;
create index effects_orders on effects (effect_kind, at) where effect_kind in ('runtime-withdraw', 'runtime-deadline');
