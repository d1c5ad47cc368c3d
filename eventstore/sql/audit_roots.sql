-- The roots of those commits that end at one of the positions $1.
select last_position, encode(root, 'hex') as root from commits where last_position = any ($1::bigint[])
