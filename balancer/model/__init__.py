"""Values that every stage speaks of: no I/O, no Twisted, no plug-ins."""
