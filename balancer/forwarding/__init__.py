"""Moving bytes between a client side and a server side: exchanges, sessions, datagrams."""
