"""Where clients arrive: one listener a protocol, and the gate that lets them in."""
