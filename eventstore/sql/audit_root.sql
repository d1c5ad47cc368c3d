select root from commits where last_position = $1
