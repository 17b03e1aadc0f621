"""Reading requests: feed bytes, take complete heads and the pieces of their bodies.

One :class:`RequestReader` serves one client connection; those that are read by the same limits may share what they ``known``. Pipelined requests come out in order; each
:class:`Incoming` grows while its body arrives::

    reader.feed(data)            # raises ExchangeError for what must not be forwarded
    while reader.ready:
        incoming = reader.ready.pop(0)
        incoming.head, incoming.body ...

What a client repeats is not read twice: see :mod:`.repeats`.

An ``Upgrade`` request stops the reader: bytes after it may belong to another protocol. They wait in ``held`` until
:meth:`RequestReader.resume` (no upgrade came of it: parse them as HTTP) or are taken for the tunnel.
"""

from __future__ import annotations

from typing import Any

import httptools

from balancer import errors
from balancer.compiled import mypyc_attr
from balancer.errors import ExchangeError
from balancer.model.headers import RawHeaders
from balancer.wire.http1 import fields, first_line, repeats
from balancer.wire.http1.body import BULK, Body
from balancer.wire.http1.heads import HeadLimits, Incoming, RequestHead, forget_client_certificates, judge

__all__ = ["MOST_READY", "Incoming", "RequestReader"]

MOST_READY = 32  # requests in a row that are read before the first is served: one takes ten times its bytes
_STAND_IN = b"POST"
"""llhttp knows a fixed list of methods; any other token is read as this one and named afterwards."""

_NOTHING = (b"", b"\r")
"""What may be there of a message that has not begun: half a blank line, too."""


@mypyc_attr(allow_interpreted_subclasses=True)
class RequestReader:
    """Reads the requests of one connection; ``feed`` may be given any split of the bytes."""

    __slots__ = (
        "_begun",
        "_body_seen",
        "_current",
        "_first_line",
        "_head_bytes",
        "_headers",
        "_known",
        "_last",
        "_last_data",
        "_last_line",
        "_left",
        "_limits",
        "_method",
        "_parser",
        "_rest_of_upgrade",
        "_tail",
        "_trailer_count",
        "_trailers",
        "_url",
        "closed",
        "held",
        "more",
        "ready",
    )

    def __init__(self, limits: HeadLimits, known: repeats.Known | None = None) -> None:
        self._limits = limits
        self._known = known  # until the first request is there
        self._parser: Any = None  # made when it is first needed
        self.ready: list[Incoming] = []  # seldom more than one; an empty deque takes 760 bytes
        self.held: bytes | None = None
        self.more = b""  # behind more requests than need to be read now: for resume()
        self.closed = False  # the last request asked for close: what follows is not read
        self._begun = False  # inside a message
        self._head_bytes = 0
        self._first_line = b""
        self._current: Incoming | None = None
        self._headers: RawHeaders = []
        self._trailers: RawHeaders | None = None
        self._trailer_count = 0
        self._body_seen = 0
        self._tail = b""
        self._url = b""
        self._method: str | None = None
        self._rest_of_upgrade = False
        self._last: Incoming | None = None  # the last request, where it may be repeated …
        self._last_data = b""  # … its bytes …
        self._last_line = 0  # … and how many of them are its first line: the fields themselves would be there twice
        self._left = 0  # bytes of a body still to come, past the parser

    @property
    def in_head(self) -> bool:
        """Whether a request has begun and its head is not complete."""
        return (self._begun and self._current is None) or self._first_line not in _NOTHING

    def feed(self, data: bytes) -> None:
        """Take what arrived.

        Raises:
            ExchangeError: the bytes are not one unambiguous request; the connection must be closed after the answer.
        """
        if self.held is not None:
            self.held += data
            return
        if self.more:
            self.more += data
            return
        if not self._begun:
            if self._last is not None:
                if repeats.takes(self, data):
                    return
            elif self._known is not None and repeats.begins(self, data):
                return
        elif self._left:
            data = self._rest(data)
        while data and not self.closed:
            first = not self._begun
            if first:
                data = self._start(data)
                if not data:
                    return
                cut = data.find(b"\r\n\r\n")
                cut = cut + 4 if cut > 0 else len(data)
            else:
                cut = self._cut(data)
            piece, data = (data[:cut], data[cut:]) if cut < len(data) else (data, b"")
            parser = self._parser
            if parser is None:
                parser = self._parser = httptools.HttpRequestParser(self)
            failed = None
            try:
                parser.feed_data(piece)
            except httptools.HttpParserUpgrade as pause:
                self._pause(piece[pause.args[0] :] + data)
                return
            except httptools.HttpParserError as error:
                failed = error
            if failed is not None:  # outside of the except: what a callback raises now has no other context
                self._refuse(failed, piece)
            if self._begun:
                self._count(piece)
                current = self._current
                if first and current is not None:
                    repeats.remember(self, piece)
                if current is not None and (current.head.content_length or 0) - current.body.received >= BULK:
                    self._left = (current.head.content_length or 0) - current.body.received
                    if data:
                        data = self._rest(data)
            elif first:
                repeats.remember(self, piece)
                if data and not self.closed and len(self.ready) >= MOST_READY:
                    self.more = data
                    return

    def _rest(self, data: bytes) -> bytes:
        """Take more of a body of known length, past the parser; return what follows it."""
        left = self._left - len(data)
        current = self._current
        assert current is not None
        if left > 0:
            self._left = left
            current.body.feed(data)
            return b""
        self._left = 0
        after = data[left:] if left else b""
        current.body.feed(data[:left] if left else data)
        self._parser = httptools.HttpRequestParser(self)
        self._complete(current)
        return after

    def _cut(self, data: bytes) -> int:
        """Return the length of what can be read without reading on into another message, whose first line is to be seen."""
        current = self._current
        if current is not None and not current.head.chunked:
            return (current.head.content_length or 0) - current.body.received
        tail = self._tail
        found = (tail + data if tail else data).find(b"\r\n\r\n")
        return len(data) if found < 0 else found + 4 - len(tail)

    def _count(self, piece: bytes) -> None:
        """Keep what llhttp would read without end within limits, and in mind how ``piece`` ended."""
        self._tail = piece[-3:]
        current = self._current
        if current is None:
            self._head_bytes += len(piece)
            if self._head_bytes > self._limits.head_size:
                too_long = len(self._url) > self._limits.uri_size
                raise ExchangeError(errors.HTTP_URI_TOO_LONG if too_long else errors.HTTP_HEADERS_TOO_LARGE)
        elif current.head.chunked:
            if current.body.received != self._body_seen:
                self._body_seen = current.body.received
                self._head_bytes = 0
            else:  # chunk extensions or trailers
                self._head_bytes += len(piece)
                if self._head_bytes > self._limits.head_size:
                    raise ExchangeError(errors.HTTP_HEADERS_TOO_LARGE, "chunk extensions or trailers")

    def resume(self) -> None:
        """Read on what waits in ``more``, or after an ``Upgrade`` request that came to nothing; raises as :meth:`feed`."""
        if self.held is None:
            data, self.more = self.more, b""
            self.feed(data)
            return
        rest, self.held = self.held, None
        if self._current is not None:
            self._complete(self._current)
        self._parser = httptools.HttpRequestParser(self)
        if rest:
            self.feed(rest)

    def use(self, limits: HeadLimits, begun: Incoming) -> None:
        """Read by ``limits`` from now on; what they do not let clients say is not said by what is read already either."""
        self._limits = limits
        self._last = self._known = None
        if limits.own_client_certificates:
            for incoming in (begun, *self.ready):
                forget_client_certificates(incoming.head)

    def begun_with(self, data: bytes) -> bytes:
        """Return all that has come of a first line that was refused when ``data`` came."""
        return self._first_line + data

    def forget(self) -> None:
        """Let go of the parser between two requests, and of what is kept to be quick when the client repeats itself."""
        if not self._begun:
            self._parser = self._last = None
            self._headers, self._url, self._last_data, self._last_line = [], b"", b"", 0

    def end(self) -> None:
        """Read no more; the parser and this refer to each other, and are freed at once this way."""
        self.closed = True
        self._parser = None

    def _start(self, data: bytes) -> bytes:
        """Return what may be read of a message that begins; its first line is checked, and kept while it is incomplete."""
        if self._first_line:
            data = self._first_line + data
        data, self._first_line = first_line.begin(data, self._limits.uri_size)
        return data

    def _refuse(self, error: httptools.HttpParserError, data: bytes) -> None:
        """Raise the ExchangeError for what llhttp refused, unless it only saw bytes after the last request."""
        cause = error.__context__
        if isinstance(cause, ExchangeError):
            raise cause from None
        if isinstance(error, httptools.HttpParserCallbackError):
            raise cause or error
        if self.closed:
            return
        if isinstance(error, httptools.HttpParserInvalidMethodError) and self._headers == [] and self._method is None:
            match = first_line.METHOD.match(data)
            if match and self._current is None:
                self._read_unknown_method(match[1].decode(), data[match.end(1) :])
                return
            raise ExchangeError(errors.HTTP_NOT_IMPLEMENTED if match else errors.HTTP_REQUEST_ERROR, "method")
        raise ExchangeError(errors.HTTP_REQUEST_ERROR, str(error.args[0]) if error.args else "malformed")

    def _read_unknown_method(self, method: str, rest: bytes) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._begun = False
        self._method = method
        try:
            self._parser.feed_data(_STAND_IN + rest)
        except httptools.HttpParserUpgrade as pause:
            self._pause((_STAND_IN + rest)[pause.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(error, rest)

    def _pause(self, rest: bytes) -> None:
        """Llhttp stopped after the head of an ``Upgrade`` (or CONNECT) request."""
        incoming = self._current
        if incoming is None:  # pragma: no cover - llhttp completes the head before it pauses
            raise ExchangeError(errors.HTTP_REQUEST_ERROR, "upgrade")
        head = incoming.head
        if head.method == "CONNECT" or head.upgrade is not None:
            self.held = rest
            return
        # No upgrade is possible (a body follows, or h2c): llhttp skipped the body, so a new parser is told of it.
        self._parser = httptools.HttpRequestParser(self)
        if head.content_length or head.chunked:
            framing = (
                b"Transfer-Encoding: chunked" if head.chunked else b"Content-Length: %d" % (head.content_length or 0)
            )
            self._rest_of_upgrade = True
            self._parser.feed_data(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n")
            self._rest_of_upgrade = False
        else:
            self._complete(incoming)
        if rest:
            self.feed(rest)

    # What llhttp calls.

    def on_message_begin(self) -> None:
        if self._rest_of_upgrade:
            return
        if self._begun and self._current is not None:  # pragma: no cover - llhttp completes before it begins
            raise ExchangeError(errors.HTTP_REQUEST_ERROR, "message inside a message")
        self._begun = True
        self._current = None
        self._head_bytes = 0
        self._headers = []
        self._trailers = None
        self._url = b""

    def on_url(self, piece: bytes) -> None:
        if self._rest_of_upgrade:
            return
        self._url = self._url + piece if self._url else piece

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._rest_of_upgrade:
            return
        if self._current is None:
            self._headers.append((name, value))
        else:
            if self._trailers is None:
                self._trailers = []
            if (
                fields.request_kind(name) == fields.PLAIN
            ):  # RFC 9110 section 6.5.1: no routing, framing, forwarding here
                self._trailers.append((name, fields.stripped(value)))
            self._trailer_count += 1
            if self._trailer_count > self._limits.header_count:
                raise ExchangeError(errors.HTTP_HEADERS_TOO_LARGE, "trailers")

    def on_headers_complete(self) -> None:
        if self._rest_of_upgrade:
            return
        parser = self._parser
        method = self._method or parser.get_method().decode("ascii")
        self._method = None
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise ExchangeError(errors.HTTP_VERSION_REFUSED, version)
        limits = self._limits
        if len(self._url) > limits.uri_size:
            raise ExchangeError(errors.HTTP_URI_TOO_LONG)
        headers = self._headers
        if len(headers) > limits.header_count:
            raise ExchangeError(errors.HTTP_HEADERS_TOO_LARGE, f"{len(headers)} header fields")
        head = RequestHead(method, self._url.decode("latin-1"), version, headers)
        head.keep_alive = parser.should_keep_alive()
        judge(head, limits)
        has_body = head.chunked or head.content_length
        if head.chunked:
            self._body_seen = self._head_bytes = self._trailer_count = 0
        self._current = Incoming(head, Body(head.content_length) if has_body else Body.none())
        self.ready.append(self._current)

    def on_body(self, data: bytes) -> None:
        if self._current is not None:
            self._current.body.feed(data)

    def on_message_complete(self) -> None:
        incoming = self._current
        if incoming is None:
            return
        head = incoming.head
        if (head.upgrade is not None or self._parser.should_upgrade()) and not self._rest_of_upgrade:
            return  # feed() sees the pause next and decides
        self._complete(incoming)

    def _complete(self, incoming: Incoming) -> None:
        if not incoming.body.ended:
            incoming.body.end(self._trailers)
        self._begun = False
        self._head_bytes = 0
        self._tail = b""
        self._current = None
        if not incoming.head.keep_alive:
            self.closed = True
