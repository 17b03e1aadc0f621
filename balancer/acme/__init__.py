"""Certificates that an authority issues by itself (ACME, RFC 8555): what is wanted, when, how it is ordered and kept."""
