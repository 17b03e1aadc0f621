"""The balancer and its peers, each set up for the same work by its own module.

Each runs on one core, in one thread for traffic, and does for every request what the others do: a line in an access log
file, X-Forwarded-For, -Proto, -Host and -Port, Via, a request id to the server and to the client, connections to servers kept,
limits on connections where it has them. :mod:`.equality` looks at what each really sends and writes.
"""

from bench.peers import balancer, caddy, envoy, haproxy, nginx
from bench.peers.peer import CALL, Peer, Place

__all__ = ["CALL", "PEERS", "Peer", "Place"]

PEERS: tuple[Peer, ...] = (balancer.UV, balancer.EPOLL, nginx.NGINX, haproxy.HAPROXY, envoy.ENVOY, caddy.CADDY)
"""In the order of their turns."""
