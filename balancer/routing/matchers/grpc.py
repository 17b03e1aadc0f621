"""gRPC's services and methods, registered like a plug-in's matchers.

``match: {grpc: shop.Cart}`` is every call of that service, ``match: {grpc: {service: shop.Cart, method: {prefix: Get}}}`` some of
its methods, ``match: {grpc: {}}`` every call. The path of a call is ``/SERVICE/METHOD``; what is no call never matches. Calls of
gRPC-Web are calls: where the ``grpc_web`` filter stands in the listener, they take the same routes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import Field
from zope.interface import implementer

from balancer.hooks.interfaces import Factory, IMatcher
from balancer.hooks.settings import Settings, StringMatch
from balancer.model.facts import RequestFacts
from balancer.wire.grpc.status import is_call

__all__ = ["GRPC", "GRPCMatcher", "GRPCMatcherSettings"]


class GRPCMatcherSettings(Settings):
    """Calls of gRPC, and of gRPC-Web; without settings, every one of them."""

    service: StringMatch | None = Field(
        default=None, description="The service, with its package: a string, or {prefix, suffix, contains, regex}."
    )
    method: StringMatch | None = Field(
        default=None, description="The method: a string, or {prefix, suffix, contains, regex}."
    )


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class GRPCMatcher:
    """Holds for calls whose service and method satisfy their conditions; None: whatever they are."""

    service: StringMatch | None = None
    method: StringMatch | None = None
    _service: Any = field(init=False, compare=False, repr=False)
    _method: Any = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_service", self.service.compiled() if self.service is not None else None)
        object.__setattr__(self, "_method", self.method.compiled() if self.method is not None else None)

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether the request is such a call."""
        if facts.method != "POST" or not is_call(facts.headers):
            return False
        service, _, method = facts.path[1:].rpartition("/")
        return (self._service is None or bool(self._service(service))) and (
            self._method is None or bool(self._method(method))
        )

    def describe(self) -> str:
        """Return ``gRPC service is 'shop.Cart', method is 'Add'``."""
        said = [
            f"{name} is {match}" if match.model_fields_set == {"exact"} else f"{name}: {match}"
            for name, match in (("service", self.service), ("method", self.method))
            if match is not None
        ]
        return f"gRPC {', '.join(said)}" if said else "a call of gRPC"


GRPC = Factory("grpc", lambda settings: GRPCMatcher(settings.service, settings.method), GRPCMatcherSettings, "service")
