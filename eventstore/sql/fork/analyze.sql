-- What was just copied has no statistics yet, and without them the joins below would look up each row in the whole log.
analyze events, streams, inbox, timers, effects, wanted_sends
