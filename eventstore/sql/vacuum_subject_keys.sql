vacuum (truncate false) subject_keys
