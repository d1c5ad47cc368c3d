-- a table of one's own, until the transaction ends
create temporary table view_quarantines (like view_quarantines including defaults including indexes) on commit drop
