"""Stories with real sockets and other people's programs."""
