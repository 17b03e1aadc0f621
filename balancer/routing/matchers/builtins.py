"""The matchers registered through the hook. Host, path, method and the like are the vocabulary of ``match`` itself."""

from __future__ import annotations

from collections.abc import Iterable

from balancer.hooks import hookimpl
from balancer.hooks.interfaces import IFactory
from balancer.routing.matchers.agent import USER_AGENT
from balancer.routing.matchers.body import BODY
from balancer.routing.matchers.cel import CEL
from balancer.routing.matchers.connection import HTTP_VERSION, LOCAL_PORT
from balancer.routing.matchers.grpc import GRPC
from balancer.routing.matchers.moment import TIME
from balancer.routing.matchers.negotiated import ACCEPTS, LANGUAGE
from balancer.routing.matchers.percent import PERCENT
from balancer.routing.matchers.tls import CLIENT_CERTIFICATE, SNI, TLS_VERSION

__all__ = ["balancer_matchers"]


@hookimpl
def balancer_matchers() -> Iterable[IFactory]:
    """Return the built-in matchers."""
    return (
        ACCEPTS,
        BODY,
        CEL,
        CLIENT_CERTIFICATE,
        GRPC,
        HTTP_VERSION,
        LANGUAGE,
        LOCAL_PORT,
        PERCENT,
        SNI,
        TIME,
        TLS_VERSION,
        USER_AGENT,
    )
