"""Makes ``twistd balancer`` known to Twisted; imports nothing heavy, since every twistd command loads it."""

from twisted.application.service import ServiceMaker

balancer = ServiceMaker(
    "balancer",
    "balancer.tap",
    "A layer-4 and layer-7 load balancer.",
    "balancer",
)
