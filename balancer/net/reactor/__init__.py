"""A Twisted reactor whose streams are libuv's own, by way of uvloop: ``twistd --reactor=uv``.

Twisted's protocols, factories, endpoints and services run on it unchanged. It imports nothing but Twisted, uvloop and
three modules of :mod:`balancer.net`, so that it can serve programs that have nothing to do with the balancer.
"""

from balancer.net.reactor.uv import UVReactor, install

__all__ = ["UVReactor", "install"]
