-- Of what work an outcome was is not known where the original's later events cannot be read: then it answers nothing.
delete from recorded_outcomes where work is null
