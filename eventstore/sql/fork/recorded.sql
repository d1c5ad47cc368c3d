select work, type, body from recorded_outcomes where project = $1 and key = $2
