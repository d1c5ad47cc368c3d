-- An effect is over when the inbox has its outcome, or an event names it as its cause.
delete from effects f
where exists (select from inbox i where i.project = f.project and i.id = f.key || ':outcome' and i.outbox > 0)
   or exists (select from events e join streams s on s.id = e.stream_id
              where s.project = f.project and e.causation = f.key || ':outcome')
