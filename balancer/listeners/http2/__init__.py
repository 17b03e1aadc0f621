"""HTTP/2 towards clients: many exchanges at a time on one connection, each a request like any other."""
