"""TLS: certificates by SNI, contexts for both sides, tickets; no I/O, no reactor."""
