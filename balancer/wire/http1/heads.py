"""The head of a request and what it says about framing, hops and forwarding."""

from __future__ import annotations

import re
from dataclasses import dataclass

from balancer import errors
from balancer.errors import ExchangeError
from balancer.model.headers import RawHeaders
from balancer.wire.http1 import encode, fields
from balancer.wire.http1.body import Body

__all__ = ["HeadLimits", "Incoming", "RequestHead", "forget_client_certificates", "is_host", "judge"]

_PORT = r"(?:[0-5]?[0-9]{0,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_HOST = re.compile(rf"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%-]+)(?::{_PORT})?\Z".encode())


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """Limits of a request's head, in bytes and fields; past them 414 or 431. And which names are not taken from clients.

    ``own_client_certificates``: what is said of client certificates is ours to say (:data:`~.fields.CLIENT_CERTIFICATE`).
    """

    head_size: int = 32 * 1024
    header_count: int = 100
    header_size: int = 8 * 1024
    uri_size: int = 8 * 1024
    allow_odd_names: frozenset[bytes] = frozenset()
    own_client_certificates: bool = False


class RequestHead:
    """One request's head, its framing already judged.

    Immutable by convention; lists may be shared. ``headers`` are the raw fields as received; ``plain`` those that are
    passed on untouched, the hop-by-hop, framing, forwarding and odd ones left out. ``host`` is the one ``Host`` value (None in HTTP/1.0 without). ``upgrade`` is the
    protocol asked for, None where an upgrade is not possible. ``dropped`` counts fields left out for odd names.
    ``block`` is ``plain`` as it goes onto the wire, where the reader had it at hand; ``frame`` what forwarding keeps of
    the request as it was sent on, for when it is repeated.
    """

    __slots__ = (
        "block",
        "chunked",
        "content_length",
        "dropped",
        "expect_continue",
        "forwarding",
        "frame",
        "headers",
        "host",
        "keep_alive",
        "method",
        "plain",
        "request_id",
        "target",
        "te_trailers",
        "upgrade",
        "version",
    )

    def __init__(self, method: str, target: str, version: str, headers: RawHeaders) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.plain: RawHeaders = []
        self.forwarding: RawHeaders | None = None
        self.host: bytes | None = None
        self.content_length: int | None = None
        self.chunked = False
        self.keep_alive = True
        self.expect_continue = False
        self.te_trailers = False
        self.upgrade: bytes | None = None
        self.request_id: bytes | None = None
        self.dropped = 0
        self.block: bytes | None = None
        self.frame: tuple[object, bytes, bytes, bytes] | None = None

    def again(self, method: str, target: str) -> RequestHead:
        """Return the head of another request with the same fields, which has no body."""
        head = RequestHead(method, target, self.version, self.headers)
        head.plain = self.plain
        head.forwarding = self.forwarding
        head.host = self.host
        head.te_trailers = self.te_trailers
        head.request_id = self.request_id
        head.dropped = self.dropped
        if self.block is None:
            self.block = encode.fields(self.plain)
        head.block = self.block
        return head

    def copied(self) -> RequestHead:
        """Return the same once more, to be changed: ``copy`` cannot copy what is compiled."""
        head = RequestHead(self.method, self.target, self.version, self.headers)
        head.plain, head.forwarding, head.host = self.plain, self.forwarding, self.host
        head.content_length, head.chunked, head.keep_alive = self.content_length, self.chunked, self.keep_alive
        head.expect_continue, head.te_trailers, head.upgrade = self.expect_continue, self.te_trailers, self.upgrade
        head.request_id, head.dropped, head.block, head.frame = self.request_id, self.dropped, self.block, self.frame
        return head

    def __repr__(self) -> str:
        return f"<RequestHead {self.method} {self.target} HTTP/{self.version}>"


def is_host(value: bytes) -> bool:
    """Whether ``value`` is a host with or without a port, as ``Host`` and an absolute target name one."""
    return _HOST.match(value) is not None


class Incoming:
    """A request on its way in: its head, and its body as far as it has come."""

    __slots__ = ("body", "head")

    def __init__(self, head: RequestHead, body: Body) -> None:
        self.head = head
        self.body = body


def judge(head: RequestHead, limits: HeadLimits) -> None:
    """Fill in what ``head.headers`` say: framing, hop-by-hop, what is passed on. One pass, hand-tuned.

    Raises:
        ExchangeError: the framing is ambiguous (RFC 9112 section 6), ``Host`` is, or a limit is passed.
    """
    largest = limits.header_size
    plain = head.plain
    kind_of = fields._request_memo.get
    size = len(head.target)
    hosts = 0
    named: frozenset[bytes] = frozenset()
    upgrade: bytes | None = None
    said_of_client = False
    for pair in head.headers:
        name, value = pair
        length = len(value)
        size += length + len(name)
        if length > largest:
            raise ExchangeError(errors.HTTP_HEADERS_TOO_LARGE, name.decode("latin-1"))
        kind = kind_of(name)
        if kind is None:
            kind = fields.request_kind(name)
        if not kind:
            plain.append(pair)
        elif kind == fields.HOST:
            hosts += 1
            head.host = fields.stripped(value)
        elif kind == fields.CONTENT_LENGTH:
            text = fields.stripped(value)
            if head.content_length is not None or not text.isdigit():
                raise ExchangeError(errors.HTTP_REQUEST_ERROR, "Content-Length")
            head.content_length = int(text)
        elif kind == fields.TRANSFER_ENCODING:
            if head.chunked or head.version == "1.0":
                raise ExchangeError(errors.HTTP_REQUEST_ERROR, "Transfer-Encoding")
            if fields.stripped(value).lower() != b"chunked":
                raise ExchangeError(errors.HTTP_NOT_IMPLEMENTED, "Transfer-Encoding other than chunked")
            head.chunked = True
        elif kind == fields.CONNECTION:
            named |= fields.connection_tokens(value)
        elif kind == fields.UPGRADE:
            upgrade = fields.stripped(value) if upgrade is None else upgrade + b", " + fields.stripped(value)
        elif kind == fields.EXPECT:
            if fields.stripped(value).lower() != b"100-continue":
                raise ExchangeError(errors.HTTP_EXPECTATION_FAILED, value.decode("latin-1"))
            head.expect_continue = head.version == "1.1"
        elif kind == fields.TE:
            head.te_trailers = head.te_trailers or b"trailers" in value.lower()
        elif kind == fields.FORWARDING:
            if head.forwarding is None:
                head.forwarding = []
            head.forwarding.append((name, fields.stripped(value)))
        elif kind == fields.REQUEST_ID:
            head.request_id = fields.stripped(value)
        elif kind == fields.ODD:
            if name.lower() in limits.allow_odd_names:
                plain.append(pair)
            else:
                head.dropped += 1
        elif kind == fields.CLIENT_CERTIFICATE:
            said_of_client = True
            if (b"_" in name or b"." in name) and name.lower() not in limits.allow_odd_names:
                head.dropped += 1
            else:
                plain.append(pair)
    if size > limits.head_size:
        raise ExchangeError(errors.HTTP_HEADERS_TOO_LARGE)
    if hosts != 1 and (hosts or head.version == "1.1"):
        raise ExchangeError(errors.HTTP_REQUEST_ERROR, "one Host is needed" if not hosts else "more than one Host")
    if head.host is not None and not _HOST.match(head.host):
        raise ExchangeError(errors.HTTP_REQUEST_ERROR, "Host")
    if head.chunked and head.content_length is not None:
        raise ExchangeError(errors.HTTP_REQUEST_ERROR, "Content-Length with Transfer-Encoding")
    if named:
        if upgrade is not None and b"upgrade" in named and not head.chunked and not head.content_length:
            head.upgrade = None if b"h2c" in upgrade.lower() or head.version == "1.0" else upgrade
        named -= {b"upgrade", b"te"}
        if named:
            plain[:] = [pair for pair in plain if pair[0].lower() not in named]
    if said_of_client and limits.own_client_certificates:
        forget_client_certificates(head)


def forget_client_certificates(head: RequestHead) -> None:
    """Take out of ``head`` what it says of the client's certificate: nobody, no matcher either, is to believe it."""
    kept = [pair for pair in head.headers if fields.request_kind(pair[0]) != fields.CLIENT_CERTIFICATE]
    if len(kept) != len(head.headers):
        head.headers = kept
        head.plain = [pair for pair in head.plain if fields.request_kind(pair[0]) != fields.CLIENT_CERTIFICATE]
        head.block = head.frame = None
