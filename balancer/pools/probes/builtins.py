"""The probes that come with the balancer, registered as a plug-in's would be."""

from __future__ import annotations

from collections.abc import Iterable

from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory, IFactory
from balancer.pools.probes.grpc import GRPCProbe, GRPCProbeSettings
from balancer.pools.probes.http import HTTPProbe, HTTPProbeSettings
from balancer.pools.probes.send_expect import SendExpect, SendExpectSettings
from balancer.pools.probes.tcp import TCPProbe


@hookimpl
def balancer_probes() -> Iterable[IFactory]:
    """Return the factories of the built-in probes."""
    return [
        Factory("grpc", GRPCProbe, GRPCProbeSettings, bare="service"),
        Factory("http", HTTPProbe, HTTPProbeSettings, bare="path"),
        Factory("send_expect", SendExpect, SendExpectSettings),
        Factory("tcp", lambda _: TCPProbe()),
    ]
