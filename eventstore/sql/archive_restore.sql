select restore_staged()
