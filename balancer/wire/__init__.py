"""Bytes to events and back, without I/O: what each protocol looks like on the wire."""
