"""Header policy: what a request carries to a server besides what the client sent, and whom forwarding headers are believed from.

Pure functions over heads; the live path and ``balancer explain`` both call them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from balancer.forwarding.certified import client_certificate_fields
from balancer.model.address import IPAddress, Peer
from balancer.model.facts import RequestFacts
from balancer.model.headers import RawHeaders, first
from balancer.model.origin import Origin
from balancer.wire.http1 import encode
from balancer.wire.http1.heads import RequestHead
from balancer.wire.http1.responses import ResponseHead

__all__ = [
    "VIA",
    "VIA_LINES",
    "Arrival",
    "HeaderPolicy",
    "TrustedPeers",
    "believed_client",
    "believed_scheme",
    "facts_of",
    "outgoing",
    "request_frame",
    "response_frame",
    "with_framing",
    "with_hsts",
]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_VIA = {version: (b"Via", version.encode() + b" balancer") for version in ("1.0", "1.1", "2.0")}
VIA = {version: value for version, (_, value) in _VIA.items()}
"""What a message is given that was received with such a version (RFC 9110 section 7.6.3)."""
VIA_LINES = {version: b"%b: %b\r\n" % pair for version, pair in _VIA.items()}
"""The same as lines of HTTP/1.1."""
_HSTS = b"Strict-Transport-Security"
_PLAIN_ID = re.compile(rb"[!#-\[\]-~]{1,128}")  # no quotes or backslashes, which would mean something in a log


class TrustedPeers:
    """The networks whose forwarding headers are believed."""

    __slots__ = ("_networks",)

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self._networks = tuple(networks)

    def __contains__(self, ip: IPAddress | None) -> bool:
        return ip is not None and any(ip in network for network in self._networks)

    def __bool__(self) -> bool:
        return bool(self._networks)


@dataclass(frozen=True, slots=True)
class HeaderPolicy:
    """What is added to requests and answers.

    ``client_certificates``: servers are told who the client has proved to be (RFC 9440). ``hsts`` is the value of
    ``Strict-Transport-Security`` in every answer, ``b""`` for none.
    """

    trusted: TrustedPeers
    via: bool = True
    request_id: bool = True
    client_certificates: bool = False
    hsts: bytes = b""


class Arrival:
    """The connection a request came on: its two ends, whether the peer is trusted, and the lines that follow from them."""

    __slots__ = ("block", "certified", "lines", "local", "peer", "scheme", "tls", "trusted")

    def __init__(self, origin: Origin, policy: HeaderPolicy) -> None:
        self.peer = peer = origin.peer
        self.local = origin.local
        self.scheme = origin.scheme
        self.tls = origin.tls
        self.trusted = bool(policy.trusted) and (not peer.host or peer.ip in policy.trusted)
        self.certified: RawHeaders = []
        """What servers are told of the client's certificate."""
        if policy.client_certificates and self.tls is not None and self.tls.client is not None:
            self.certified = client_certificate_fields(self.tls.client)
        self.lines, self.block = _forwarded(peer.host, self.scheme, self.local.port)
        """The forwarding fields that are the same for every request of an untrusted peer, and as they go onto the wire."""
        if self.certified:
            self.lines = [*self.lines, *self.certified]
            self.block = encode.fields(self.lines)


@lru_cache(maxsize=4096)
def _forwarded(host: str, scheme: str, port: int) -> tuple[RawHeaders, bytes]:
    lines = [
        (b"X-Forwarded-For", (host or "unix").encode()),
        (b"X-Forwarded-Proto", scheme.encode()),
        (b"X-Forwarded-Port", b"%d" % port),
    ]
    return lines, encode.fields(lines)


def facts_of(head: RequestHead, arrival: Arrival, peer: Peer, scheme: str) -> RequestFacts:
    """Return what is known of the request that begins with ``head``: of the client ``peer``, who used ``scheme``."""
    return RequestFacts(
        head.method, head.target, head.headers, peer, arrival.local, scheme, head.version, None, arrival.tls
    )


def believed_client(head: RequestHead, arrival: Arrival, policy: HeaderPolicy) -> Peer:
    """Return the client: the peer itself, or behind trusted peers the first untrusted address of ``X-Forwarded-For``.

    The list is walked from the right, as long as the addresses are trusted; what stands further left may be invented.
    """
    if not arrival.trusted or not head.forwarding:
        return arrival.peer
    client = arrival.peer
    for address in reversed(_chain(head.forwarding, b"x-forwarded-for")):
        peer = _as_peer(address)
        if peer is None:
            break
        client = peer
        if peer.ip not in policy.trusted:
            break
    return client


def believed_scheme(head: RequestHead, arrival: Arrival) -> str:
    """Return ``http`` or ``https``: the connection's, or what a trusted peer says in ``X-Forwarded-Proto``."""
    if arrival.trusted and head.forwarding:
        said = _chain(head.forwarding, b"x-forwarded-proto")
        if said and said[-1].lower() in ("http", "https"):
            return said[-1].lower()
    return arrival.scheme


def believed_request_id(head: RequestHead, arrival: Arrival) -> str | None:
    """Return the request id a trusted peer gave, if it is a plain token of sensible length."""
    if not arrival.trusted or not head.request_id:
        return None
    return head.request_id.decode("ascii") if _PLAIN_ID.fullmatch(head.request_id) else None


def outgoing(
    head: RequestHead, host: bytes | None, arrival: Arrival, policy: HeaderPolicy, request_id: str
) -> RawHeaders:
    """Return the fields of the request as it goes to a server, but for framing.

    ``host`` is the authority to name (the client's ``Host``, or that of an absolute-form target), None for HTTP/1.0
    requests without one. Forwarding fields of untrusted peers are replaced, those of trusted ones extended.
    """
    headers: RawHeaders = [] if host is None else [(b"Host", host)]
    headers += head.plain
    if arrival.trusted:
        _extend_forwarding(headers, head.forwarding or [], host, arrival)
        headers += arrival.certified
    else:
        headers += arrival.lines
        if host is not None:
            headers.append((b"X-Forwarded-Host", host))
    if policy.request_id and request_id:
        headers.append((b"X-Request-Id", request_id.encode("ascii")))
    if policy.via:
        headers.append(_VIA[head.version])
    if head.te_trailers:
        headers.append((b"TE", b"trailers"))
    return headers


def request_frame(
    head: RequestHead, target: str, host: bytes | None, arrival: Arrival, policy: HeaderPolicy
) -> tuple[bytes, bytes]:
    """Return a request without body, upgrade and trusted peer as it goes onto the wire: what is before and after its id.

    With the id between them it is what :func:`outgoing`, :func:`with_framing` and the encoder would make of it.
    """
    block = head.block
    if block is None:
        block = encode.fields(head.plain)
    te = b"TE: trailers\r\nConnection: TE\r\n" if head.te_trailers else b""
    line = f"{head.method} {target} HTTP/1.1\r\n".encode("latin-1")
    via = VIA_LINES[head.version] if policy.via else b""
    if host is None:
        before = b"%b%b%b" % (line, block, arrival.block)
    else:
        before = b"%bHost: %b\r\n%b%bX-Forwarded-Host: %b\r\n" % (line, host, block, arrival.block, host)
    if policy.request_id:
        return before + b"X-Request-Id: ", b"\r\n%b%b\r\n" % (via, te)
    return b"%b%b%b\r\n" % (before, via, te), b""


def response_frame(head: ResponseHead, policy: HeaderPolicy) -> tuple[bytes, bytes]:
    """Return the head of a whole response for a client whose connection is kept: what is before and after the id."""
    tail = b"Content-Length: %d\r\n" % (head.content_length or 0)
    headers, block = head.plain, head.block
    if policy.hsts:
        headers, block = with_hsts(headers, policy.hsts), None
    if policy.via:
        tail += VIA_LINES[head.version]
    if policy.request_id:
        return encode.response_head(head.status, head.reason, headers, tail + b"X-Request-Id: ", block), b"\r\n\r\n"
    return encode.response_head(head.status, head.reason, headers, tail + b"\r\n", block), b""


def with_hsts(headers: RawHeaders, value: bytes) -> RawHeaders:
    """Return ``headers`` with our ``Strict-Transport-Security``, instead of any that a server sent (RFC 6797 section 8.1)."""
    return [*(pair for pair in headers if pair[0].lower() != b"strict-transport-security"), (_HSTS, value)]


def with_framing(headers: RawHeaders, head: RequestHead, *, length: int | None, chunked: bool) -> RawHeaders:
    """Return ``headers`` with the fields of this hop: the body's framing, ``Expect``, ``Upgrade``."""
    if chunked:
        headers.append((b"Transfer-Encoding", b"chunked"))
    elif length is not None:
        headers.append((b"Content-Length", b"%d" % length))
    if head.upgrade is not None:
        headers.append((b"Connection", b"TE, Upgrade" if head.te_trailers else b"Upgrade"))
        headers.append((b"Upgrade", head.upgrade))
    elif head.te_trailers:
        headers.append((b"Connection", b"TE"))
    return headers


def is_event_stream(headers: RawHeaders) -> bool:
    """Whether a response is server-sent events: a stream that ends when one of the two sides leaves."""
    return (first(headers, b"content-type") or b"").lower().startswith(b"text/event-stream")


def _extend_forwarding(headers: RawHeaders, given: RawHeaders, host: bytes | None, arrival: Arrival) -> None:
    peer = arrival.peer.host or "unix"
    names = {name.lower() for name, _ in given}
    chain = _chain(given, b"x-forwarded-for")
    headers.append((b"X-Forwarded-For", ", ".join([*chain, peer]).encode("latin-1")))
    forwarded = _chain(given, b"forwarded")
    if forwarded:
        element = f'for="[{peer}]"' if ":" in peer else f"for={peer}"
        headers.append((b"Forwarded", ", ".join([*forwarded, f"{element};proto={arrival.scheme}"]).encode("latin-1")))
    defaults = (
        (b"x-forwarded-proto", (b"X-Forwarded-Proto", arrival.scheme.encode())),
        (b"x-forwarded-port", (b"X-Forwarded-Port", b"%d" % arrival.local.port)),
        (b"x-forwarded-host", (b"X-Forwarded-Host", host)),
    )
    headers += [pair for pair in given if pair[0].lower() not in (b"x-forwarded-for", b"forwarded")]
    headers += [(name, value) for key, (name, value) in defaults if key not in names and value is not None]


def _chain(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> list[str]:
    """Return the members of a comma-separated list field, over all its lines."""
    found = [value.decode("latin-1") for key, value in headers if key.lower() == name]
    return [part.strip() for line in found for part in line.split(",") if part.strip()]


def _as_peer(text: str) -> Peer | None:
    """Read an ``X-Forwarded-For`` member: an address, with a port or brackets that some proxies add."""
    host, port = text, 0
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = int(rest[1:]) if rest.startswith(":") and rest[1:].isdigit() else 0
    elif text.count(":") == 1:
        host, _, after = text.partition(":")
        port = int(after) if after.isdigit() else 0
    if "%" in host:  # a zone, which may hold anything, means nothing on another machine
        return None
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return None
    return Peer(host, port)
