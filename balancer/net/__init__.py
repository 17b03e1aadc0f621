"""Sockets: transports, listening, connecting, datagrams and the timer wheel. Knows nothing of pools or protocols."""
