"""Reading responses: feed bytes of a server connection, take heads and body pieces.

One :class:`ResponseReader` serves one server connection, one exchange at a time::

    reader.expect("GET")
    reader.feed(data)            # raises ExchangeError for what is no valid HTTP
    reader.informational         # 1xx heads, to be passed on and cleared by the caller
    reader.head, reader.body     # once the final head is there
    reader.whole                 # the body's bytes, where a response whose head is repeated came whole, else None

What a server repeats is not read twice: a response whose head is byte for byte that of the one before it on the
connection shares that one's :class:`ResponseHead`. The gain is measured with the requests'. What is left of a body of known
length after the segment of its head does not go through llhttp: it is counted, not copied.

A response is delimited as RFC 9112 section 6.3 says; one that ends with the connection is ended by :meth:`eof`.
"""

from __future__ import annotations

from typing import Any

import httptools

from balancer import errors
from balancer.compiled import mypyc_attr
from balancer.errors import ExchangeError
from balancer.model.headers import RawHeaders
from balancer.wire.http1 import encode, fields
from balancer.wire.http1.body import BULK, Body

__all__ = ["ResponseHead", "ResponseReader"]

_HEAD_SIZE = 64 * 1024
_NO_BODY = frozenset([204, 304])


class ResponseHead:
    """One response's head; immutable once it is read, as several responses may share it.

    ``frame`` is what the client's side keeps of a whole response as it was sent on, for when it is repeated; ``listed`` the same for
    clients of HTTP/2.
    ``plain`` are the fields passed on, hop-by-hop and framing ones left out. ``content_length`` is None where the length is not declared; ``upgrade`` the protocol of a 101. ``block`` is ``plain``
    as it goes onto the wire, where the reader had it at hand.
    """

    __slots__ = (
        "block",
        "chunked",
        "content_length",
        "dated",
        "frame",
        "headers",
        "listed",
        "plain",
        "reason",
        "status",
        "upgrade",
        "version",
    )

    def __init__(self, status: int, reason: bytes, headers: RawHeaders, version: str = "1.1") -> None:
        self.version = version
        self.status = status
        self.reason = reason
        self.headers = headers
        self.plain: RawHeaders = []
        self.content_length: int | None = None
        self.chunked = False
        self.dated = False
        self.upgrade: bytes | None = None
        self.block: bytes | None = None
        self.frame: tuple[object, bytes, bytes] | None = None
        self.listed: tuple[object, RawHeaders] | None = None

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status} {self.reason.decode('latin-1')}>"


@mypyc_attr(allow_interpreted_subclasses=True)
class ResponseReader:
    """Reads the responses of one server connection; ``feed`` may be given any split of the bytes."""

    __slots__ = (
        "_bodiless",
        "_body",
        "_body_seen",
        "_busy",
        "_head_bytes",
        "_headers",
        "_last",
        "_last_block",
        "_left",
        "_parsed",
        "_parser",
        "_reason",
        "_trailers",
        "_until_close",
        "begun",
        "head",
        "informational",
        "leftover",
        "reusable",
        "whole",
    )

    def __init__(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self.informational: list[ResponseHead] = []
        self.leftover: bytes | None = None  # after a 101: bytes of the new protocol
        self.reusable = True  # whether another request may follow on this connection
        self._last: ResponseHead | None = None  # the last head, where it may be repeated …
        self._last_block = b""  # … and its bytes
        self._left = 0  # bytes of a body still to come, past the parser
        self._parsed = True  # llhttp has been at it, or soon is, since the last response was expected
        self.expect("")
        self._busy = False

    def expect(self, method: str) -> None:
        """Make ready for the response to a request of ``method``; the former one must have ended."""
        self._busy = True
        self._bodiless = method == "HEAD"
        self.head: ResponseHead | None = None
        self.whole: bytes | None = None
        self._body: Body | None = None
        self.begun = False  # the first byte of the response came
        if not self._parsed:
            return
        self._parsed = False
        self._headers: RawHeaders = []
        self._trailers: RawHeaders | None = None
        self._reason = b""
        self._head_bytes = 0
        self._body_seen = 0
        self._until_close = False

    @property
    def body(self) -> Body:
        """The body, as far as it has come; made when it is first asked for."""
        body = self._body
        if body is None:
            body = self._body = Body()
            if self.whole is not None:
                if self.whole:
                    body.feed(self.whole)
                body.ended = True
        return body

    def feed(self, data: bytes) -> None:
        """Take what arrived.

        Raises:
            ExchangeError: not valid HTTP, or a head too large. Bytes after the response, or that no request asked
                for, are dropped, and ``reusable`` turns False.
        """
        if self._left:
            self._rest(data)
            return
        if self.leftover is not None:
            self.leftover += data
            return
        if not self._busy:
            self.reusable = False
            return
        if self.head is None and self._head_bytes + len(data) > _HEAD_SIZE:
            self._feed_much(data)
            return
        begun, self.begun = self.begun, True
        if not begun:
            last = self._last
            if last is not None and data.startswith(self._last_block) and self._repeats(last, data):
                return
            self._last = None
        self._parsed = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as pause:
            self.leftover = data[pause.args[0] :]
        except httptools.HttpParserError as error:
            self._refuse(error)
        head = self.head
        if not self._busy:
            if not begun:
                self._remember(data)
        elif head is not None and head.content_length is not None:
            self.reusable = self.reusable and self._parser.should_keep_alive()
            if not begun:
                self._remember(data)
            left = head.content_length - self.body.received
            if left >= BULK:
                self._left = left
                self._parser = httptools.HttpResponseParser(self)
        elif head is None:
            self._head_bytes += len(data)
        elif head.chunked:
            if self.body.received != self._body_seen:
                self._body_seen = self.body.received
                self._head_bytes = 0
            else:  # chunk extensions or trailers, which llhttp reads without end
                self._head_bytes += len(data)
                if self._head_bytes > _HEAD_SIZE:
                    raise ExchangeError(errors.HTTP_RESPONSE_HEADER_SECTION_SIZE, "chunk extensions or trailers")

    def _feed_much(self, data: bytes) -> None:
        """Take more than a head may have: the head must end within the limit, whatever came with it in one piece."""
        room = _HEAD_SIZE - self._head_bytes
        if room:
            self.feed(data[:room])
        if self.head is None:
            raise ExchangeError(errors.HTTP_RESPONSE_HEADER_SECTION_SIZE)
        self.feed(data[room:])

    def _repeats(self, last: ResponseHead, data: bytes) -> bool:
        """Take ``data``, which begins with the head of the ``last`` response, if it is no more than a response; return whether it is."""
        if self._bodiless:
            return False
        size = len(self._last_block)
        length = 0 if last.status in _NO_BODY else last.content_length or 0
        left = length - len(data) + size
        if left < 0:
            return False
        if last.block is None:
            last.block = encode.fields(last.plain)
        self.head = last
        if left:
            body = self.body
            body.length = length
            if left < length:
                body.feed(data[size:])
            self._left = left
        else:
            self.whole = data[size:]
            self._busy = False
        return True

    def _rest(self, data: bytes) -> None:
        """Take more of a body of known length."""
        left = self._left - len(data)
        if left < 0:
            self.reusable = False
            data = data[:left]
            left = 0
        self._left = left
        self.body.feed(data)
        if not left:
            self._finish()

    def _remember(self, data: bytes) -> None:
        """Keep the head of the response that begins in ``data``, if it has a length, or none, for its body."""
        head = self.head
        if head is None or self._bodiless or not self.reusable or head.chunked or self.informational:
            return
        if head.content_length is None and head.status not in _NO_BODY:
            return
        size = data.find(b"\r\n\r\n") + 4
        if len(data) - size <= (head.content_length or 0) and (head.status not in _NO_BODY or len(data) == size):
            self._last = head
            self._last_block = data[:size]

    def eof(self, *, clean: bool = True) -> bool:
        """Note the end of the connection, ``clean`` where it was no reset; return whether it completes the response."""
        self.reusable = False
        if self._busy and self._until_close and clean:
            self._finish()
            return True
        return not self._busy

    def end(self) -> None:
        """Read no more; the parser and this refer to each other, and are freed at once this way."""
        self.reusable = self._busy = False
        self._left = 0
        self._parser = None

    def _refuse(self, error: httptools.HttpParserError) -> None:
        self.reusable = False
        if not self._busy:
            return
        cause = error.__context__
        if isinstance(cause, ExchangeError):
            raise cause from None
        if isinstance(error, httptools.HttpParserCallbackError):
            raise cause or error
        raise ExchangeError(errors.HTTP_PROTOCOL_ERROR, str(error.args[0]) if error.args else "malformed")

    def _finish(self) -> None:
        self.body.end(self._trailers)
        self._busy = False

    # What llhttp calls.

    def on_message_begin(self) -> None:
        if not self._busy:
            self.reusable = False
            raise ExchangeError(errors.HTTP_PROTOCOL_ERROR, "a second response to one request")
        self._headers = []
        self._trailers = None
        self._reason = b""

    def on_status(self, piece: bytes) -> None:
        self._reason = self._reason + piece if self._reason else piece

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head is None:
            self._headers.append((name, value))
        elif fields.response_kind(name) == fields.PLAIN:  # RFC 9110 section 6.5.1: no framing or routing in trailers
            if self._trailers is None:
                self._trailers = []
            self._trailers.append((name, fields.stripped(value)))

    def on_headers_complete(self) -> None:
        parser = self._parser
        status = parser.get_status_code()
        if not 100 <= status <= 999:
            raise ExchangeError(errors.HTTP_PROTOCOL_ERROR, f"status {status}")
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise ExchangeError(errors.HTTP_PROTOCOL_ERROR, f"HTTP/{version}")
        head = ResponseHead(status, self._reason, self._headers, version)
        _judge(head)
        if status < 200 and status != 101:  # its bytes count on: 1xx without end are no head either
            self.informational.append(head)
            return
        self._head_bytes = 0
        self.head = head
        if self._bodiless or status in _NO_BODY or status == 101:
            # llhttp cannot be told that the answer to HEAD has no body: it gets a successor instead.
            if self._bodiless and status not in _NO_BODY and status != 101:
                self._parser = httptools.HttpResponseParser(self)
                self.reusable = self.reusable and _may_keep(head)
                self._finish()
            return
        if head.chunked or head.content_length is not None:
            self.body.length = head.content_length
        else:
            self._until_close = True
            self.reusable = False

    def on_body(self, data: bytes) -> None:
        if self._busy:
            self.body.feed(data)
        else:
            self.reusable = False

    def on_message_complete(self) -> None:
        if self.head is None or not self._busy:
            return
        if not self._parser.should_keep_alive():
            self.reusable = False
        self._finish()


def _may_keep(head: ResponseHead) -> bool:
    said = [value for name, value in head.headers if fields.response_kind(name) == fields.CONNECTION]
    if head.version == "1.0":
        return any(map(fields.says_keep_alive, said))
    return not any(map(fields.says_close, said))


def _judge(head: ResponseHead) -> None:
    """One pass over the fields: framing, hop-by-hop, what is passed on. Hand-tuned: it runs for every response."""
    plain = head.plain
    kind_of = fields._response_memo.get
    named: frozenset[bytes] = frozenset()
    for pair in head.headers:
        name = pair[0]
        kind = kind_of(name)
        if kind is None:
            kind = fields.response_kind(name)
        if not kind:
            plain.append(pair)
        elif kind == fields.DATE:
            plain.append(pair)
            head.dated = True
        elif kind == fields.CONTENT_LENGTH:
            text = fields.stripped(pair[1])
            if head.content_length is not None or not text.isdigit():
                raise ExchangeError(errors.HTTP_PROTOCOL_ERROR, "Content-Length")
            head.content_length = int(text)
        elif kind == fields.TRANSFER_ENCODING:
            if head.chunked or fields.stripped(pair[1]).lower() != b"chunked":
                raise ExchangeError(errors.HTTP_PROTOCOL_ERROR, "Transfer-Encoding other than chunked")
            head.chunked = True
        elif kind == fields.CONNECTION:
            tokens = fields.connection_tokens(pair[1])
            if tokens:
                named |= tokens
        elif kind == fields.UPGRADE:
            head.upgrade = fields.stripped(pair[1])
    if head.chunked and head.content_length is not None:
        raise ExchangeError(errors.HTTP_PROTOCOL_ERROR, "Content-Length with Transfer-Encoding")
    if named:
        named -= {b"upgrade", b"te"}
        if named:
            plain[:] = [pair for pair in plain if pair[0].lower() not in named]
