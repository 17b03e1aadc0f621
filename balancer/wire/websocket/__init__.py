"""WebSocket (RFC 6455) as a proxy sees it: the handshake is checked, frames are walked over and counted, not taken apart.

``handshake`` judges the two sides' words, ``frames`` finds where frames begin and end, ``encode`` makes the few that the
balancer sends itself, ``codes`` says which close codes may stand in a frame.
"""
