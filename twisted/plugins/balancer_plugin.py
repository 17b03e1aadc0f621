"""Makes ``twistd balancer`` and two reactors known to Twisted; imports nothing heavy, since every twistd command loads it."""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

balancer = ServiceMaker(
    "balancer",
    "balancer.tap",
    "A layer-4 and layer-7 load balancer.",
    "balancer",
)

uv = Reactor("uv", "balancer.net.reactor", "libuv's own TCP and unix transports, by way of uvloop (Linux)")

epoll_in_batches = Reactor("epoll-batching", "balancer.net.polling", "epoll(4), serving events in batches (Linux)")
