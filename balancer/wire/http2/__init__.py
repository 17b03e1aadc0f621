"""HTTP/2 (RFC 9113): bytes to events and back, for either side of a connection, without I/O."""
