"""A request to be explained, and what is found out about it: values, which :mod:`.explaining` fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from balancer.model.tls import ClientCertificate

__all__ = ["Explanation", "Sample", "SampleAnswer"]


@dataclass(frozen=True, slots=True)
class SampleAnswer:
    """What a server is taken to answer; headers as text pairs, but for the body's framing."""

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """A request to explain: ``url`` absolute or a path; headers as text pairs; the certificate that the client shows, if any;
    ``at`` is when it comes, in seconds since 1970, None: now; ``answer`` what a server is taken to say to it, None: nobody asks what becomes of that."""

    url: str
    method: str = "GET"
    headers: Sequence[tuple[str, str]] = ()
    client_ip: str = "127.0.0.1"
    body: str | None = None
    listener: str | None = None
    client_certificate: ClientCertificate | None = None
    at: float | None = None
    answer: SampleAnswer | None = None


@dataclass(slots=True)
class Explanation:
    """What would become of one request. ``status`` is what the balancer itself would answer, 0 if a server answers (or the request waits for
    one); ``response_headers`` are the fields of that answer, but for its date and framing, ``body`` what is in it, None where it would be an
    error page as it is. ``response`` is what the client would get of the sample's answer: ``status``, ``headers``, ``body``.

    ``copies`` are the mirrors of the request, by ``pool``: whether one is ``sent``, and ``because`` of what it is not.

    ``certificates`` are those that could be shown, one for each kind of key, with ``name``, ``names``, ``kind``, ``expires`` and ``days``.
    ``terms`` are those of the exchange with a server: ``value``, and ``from`` where it comes (default, pool, route).
    ``split`` says, where pools share the requests, ``because`` of what the pool was taken, the ``shares`` in percent, and in a ``note`` why
    these are not the file's.
    """

    listener: str
    route: str = ""
    action: str = "none"
    pool: str | None = None
    split: dict[str, Any] | None = None
    protocol: str | None = None
    server: str | None = None
    status: int = 0
    reason: str = ""
    location: str | None = None
    upgrade: str | None = None
    captures: Mapping[str, str] = field(default_factory=dict)
    request: dict[str, Any] | None = None
    response_headers: list[tuple[str, str]] = field(default_factory=list)
    body: str | None = None
    response: dict[str, Any] | None = None
    copies: list[dict[str, Any]] = field(default_factory=list)
    filters: list[dict[str, str]] = field(default_factory=list)
    candidates: list[dict[str, Any]] = field(default_factory=list)
    terms: dict[str, dict[str, Any]] = field(default_factory=dict)
    rejected: list[dict[str, str]] = field(default_factory=list)
    certificates: list[dict[str, Any]] = field(default_factory=list)
    sni: str | None = None
    hsts: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the explanation as plain values, under the keys of ``balancer explain --json``."""
        return {
            "listener": self.listener,
            "route": self.route or None,
            "action": self.action,
            "pool": self.pool,
            "split": self.split,
            "protocol": self.protocol,
            "server": self.server,
            "status": self.status or None,
            "reason": self.reason or None,
            "location": self.location,
            "response_headers": [list(pair) for pair in self.response_headers],
            "body": self.body,
            "response": self.response,
            "copies": self.copies,
            "upgrade": self.upgrade,
            "captures": dict(self.captures),
            "request": self.request,
            "filters": self.filters,
            "candidates": self.candidates,
            "terms": self.terms,
            "rejected": self.rejected,
            "sni": self.sni,
            "certificates": self.certificates,
            "hsts": self.hsts,
        }

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> Explanation:
        """Return the explanation that :meth:`as_json` made ``found`` of; what it does not know is passed over."""
        names = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in found.items() if name in names and value is not None})
