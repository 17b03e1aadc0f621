"""HTTP/2 towards servers: connections that many exchanges share, and the server side of each exchange on them."""
