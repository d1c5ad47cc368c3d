select content from blobs where project = $1 and sha256 = $2
