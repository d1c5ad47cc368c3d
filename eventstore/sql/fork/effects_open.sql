select exists (select from effects where effect_kind = any ($1::text[]))
