"""Conditions in the Common Expression Language, registered like a plug-in's matcher.

``match: {cel: "request.headers['x-plan'] == 'gold' && size(request.query) < 5"}``. Needs ``pip install 'txbalancer[cel]'``. What an expression may speak of:

=====================  ============================================================================================
``request.method``     and ``path`` (decoded), ``target`` (as sent), ``host``, ``scheme``, ``version``: strings
``request.headers``    a map of strings by name in lower case; fields that repeat are joined by ``", "``
``request.query``      a map of strings, the first value of each; ``request.cookies`` likewise
``client.ip``          and ``client.port``
``tls.version``        and ``tls.sni``, ``tls.subject`` (of the client's certificate); empty strings without
``now``                a timestamp
=====================  ============================================================================================

An expression that fails on a request (a field that is not there: ask ``'x' in request.headers`` first), or is not true, does not match.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import Field
from zope.interface import implementer

from balancer.hooks.interfaces import Factory, IMatcher
from balancer.hooks.settings import Settings
from balancer.model.address import Peer
from balancer.model.facts import RequestFacts

__all__ = ["CEL", "CelMatcher", "variables"]

_KNOWN = ("client", "now", "request", "tls")


class CelSettings(Settings):
    """An expression that must be true."""

    expression: str = Field(description="The expression, over request, client, tls and now.", min_length=1)


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class CelMatcher:
    """Holds where the expression ``text`` is true; ``program`` is it, compiled."""

    text: str
    program: Any = field(compare=False, repr=False)

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether it is true."""
        try:
            return self.program.execute(variables(facts)) is True
        except Exception:  # of many kinds: whatever it is, the expression is not true
            return False

    def describe(self) -> str:
        """Return the expression."""
        return f"CEL: {self.text}"


def variables(facts: RequestFacts) -> dict[str, Any]:
    """Return what an expression may speak of."""
    tls = facts.tls
    headers: dict[str, str] = {}
    for name, value in facts.headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return {
        "request": {
            "method": facts.method,
            "path": facts.path.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
            "target": facts.target,
            "host": facts.host,
            "scheme": facts.scheme,
            "version": facts.version,
            "headers": headers,
            "query": {name: values[0] for name, values in facts.query.items()},
            "cookies": facts.cookies,
        },
        "client": {"ip": facts.client_ip, "port": facts.peer.port},
        "tls": {
            "version": tls.version if tls is not None else "",
            "sni": tls.sni if tls is not None else "",
            "subject": tls.client.subject if tls is not None and tls.client is not None else "",
        },
        "now": datetime.fromtimestamp(facts.wall, UTC),
    }


def _built(settings: CelSettings) -> CelMatcher:
    try:
        import cel
    except ImportError:
        raise ValueError("common-expression-language is needed for CEL: pip install 'txbalancer[cel]'") from None
    try:
        program = cel.compile(settings.expression)
    except ValueError as error:
        raise ValueError(f"expected a CEL expression: {' '.join(str(error).split())}") from None
    unknown = sorted(set(program.variables()) - set(_KNOWN))
    if unknown:
        raise ValueError(f"unknown name {unknown[0]!r} in the expression; known: {', '.join(_KNOWN)}")
    try:
        program.execute(variables(RequestFacts("GET", "/", [], Peer("", 0), Peer("", 0))))
    except RuntimeError as error:  # a function that there is not; other failures depend on the request
        raise ValueError(f"the expression cannot be evaluated: {error}") from None
    except Exception:  # noqa: S110 - as it would be for such a request
        pass
    return CelMatcher(settings.expression, program)


CEL = Factory("cel", _built, CelSettings, "expression")
