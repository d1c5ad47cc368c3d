select keys from origin.fork
