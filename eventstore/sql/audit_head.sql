select last_position, encode(root, 'hex') as root from commits order by last_position desc limit 1
