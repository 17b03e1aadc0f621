"""The ``grpc_web`` filter: browsers, which cannot read trailers, call servers that speak gRPC (``PROTOCOL-WEB.md``).

::

    browser ── application/grpc-web[-text] ──> application/grpc, te: trailers ──> server
            <── messages …, trailers as the last message <── messages …, trailers ──

Messages pass as they come, in both directions; only ``-text`` is decoded and encoded (base64), piece by piece. A response that is
nothing but a status stays one, in its head. What is no gRPC-Web passes untouched, gRPC itself included.

Pages are nearly always of another origin than what they call; with ``cors`` the browser's questions are answered here.
"""

from __future__ import annotations

from pydantic import Field
from zope.interface import implementer

from balancer.errors import HTTP_REQUEST_ERROR, ExchangeError
from balancer.filters.cors import Cors, CorsSetting, asked_headers
from balancer.hooks.interfaces import Factory, IFilter
from balancer.hooks.settings import Settings
from balancer.model import headers as fields
from balancer.model.exchange import Exchange, Reply
from balancer.model.headers import RawHeaders
from balancer.wire.grpc import web
from balancer.wire.grpc.messages import MessageError
from balancer.wire.grpc.status import Status, is_grpc, trailers

__all__ = ["GRPC_WEB", "GrpcWeb", "GrpcWebSettings"]

_NOTE = "grpc_web"
_ASKED = "x-grpc-web"
"""What every client of gRPC-Web says, so that a preflight can be told from those of others."""
_EXPOSED = (b"grpc-status", b"grpc-message")
_CODING = (b"x-grpc-web", b"content-type", b"te")


class GrpcWebSettings(Settings):
    """Translates gRPC-Web to gRPC, and the answers back."""

    cors: CorsSetting | None = Field(
        default=None,
        description="Origins whose pages may call, a list or settings; without it browsers let pages call their own origin only.",
    )


@implementer(IFilter)
class GrpcWeb:
    """The filter.

    Args:
        cors: whose pages may call; None if somebody else sees to that.
    """

    name = "grpc_web"
    body_limit = 0

    def __init__(self, cors: Cors | None = None) -> None:
        self._cors = cors

    @classmethod
    def of(cls, settings: GrpcWebSettings) -> GrpcWeb:
        """Return the filter that ``settings`` describe."""
        return cls(Cors(settings.cors) if settings.cors is not None else None)

    def request(self, exchange: Exchange) -> Reply | None:
        """Make a call of gRPC of one of gRPC-Web; answer a browser that asks whether a page may make one."""
        facts = exchange.facts
        if self._cors is not None:
            asked = asked_headers(facts)
            if asked is not None and _ASKED in asked:
                return self._cors.preflight(facts)
        kind = fields.first(exchange.headers, b"content-type")
        if exchange.method != "POST" or kind is None or not web.is_web(kind):
            return None
        text = web.is_text(kind)
        if text:
            if exchange.body is not None:
                try:
                    exchange.body = _decoded(exchange.body)
                except ExchangeError as error:
                    return Reply(400, reason=error.reason.code, detail=error.detail)
            else:
                exchange.change_request(_Request())
        headers = fields.without(exchange.headers, _CODING)
        headers += [(b"Content-Type", web.plain_type(kind)), (b"TE", b"trailers")]
        exchange.headers = headers
        exchange.notes[_NOTE] = (_wants_text(fields.first(headers, b"accept"), text), web.plain_type(kind))
        return None

    def response(self, exchange: Exchange) -> None:
        """Make gRPC-Web of the answer, if it is gRPC."""
        note = exchange.notes.get(_NOTE)
        if note is None:
            return
        text, asked = note
        headers = exchange.response_headers
        if is_grpc(headers):
            kind = fields.first(headers, b"content-type")
            if kind is None or kind.lower() == b"application/grpc":
                kind = asked  # with the kind of messages, which some clients look for
            headers = fields.without(headers, (b"trailer",))
            fields.replace(headers, b"content-type", web.web_type(kind, text=text))
            if fields.first(headers, b"grpc-status") is None:
                exchange.change_response(_Response(text))
            exchange.response_headers = headers
        if self._cors is not None:
            self._cors.allow(exchange.facts.header("origin"), headers, _EXPOSED)

    def describe(self, exchange: Exchange) -> str:
        """Return ``gRPC-Web to gRPC``."""
        note = exchange.notes.get(_NOTE)
        if note is None:
            return "no gRPC-Web: passes untouched"
        return f"gRPC-Web to gRPC, answers {'in base64' if note[0] else 'in binary'}"

    def __repr__(self) -> str:
        return f"<GrpcWeb {self._cors!r}>" if self._cors is not None else "<GrpcWeb>"


def _wants_text(accept: str | bytes | None, sent_text: bool) -> bool:
    """Whether the answer is to be base64: what ``Accept`` says, else as the request."""
    said = accept.lower() if isinstance(accept, bytes) else b""
    if web.TEXT in said:
        return True
    return sent_text and web.BINARY not in said


def _decoded(body: bytes) -> bytes:
    transform = _Request()
    return transform.feed(body) + transform.end(None)[0]


class _Request:
    """A body in base64, decoded."""

    __slots__ = ("_coding",)

    def __init__(self) -> None:
        self._coding = web.FromBase64()

    def feed(self, data: bytes) -> bytes:
        try:
            return self._coding.feed(data)
        except MessageError as error:
            raise ExchangeError(HTTP_REQUEST_ERROR, str(error)) from None

    def end(self, trailers: RawHeaders | None) -> tuple[bytes, RawHeaders | None]:
        try:
            self._coding.end()
        except MessageError as error:
            raise ExchangeError(HTTP_REQUEST_ERROR, str(error)) from None
        return b"", trailers


class _Response:
    """A body whose trailers become its last message; in base64 if ``text``."""

    __slots__ = ("_coding",)

    def __init__(self, text: bool) -> None:
        self._coding = web.ToBase64() if text else None

    def feed(self, data: bytes) -> bytes:
        # What came is to be read at once, so that it is padded wherever it ends.
        return data if self._coding is None else self._coding.feed(data, flush=True)

    def end(self, said: RawHeaders | None) -> tuple[bytes, RawHeaders | None]:
        if not said or fields.first(said, b"grpc-status") is None:
            said = [*(said or []), *trailers(Status.UNKNOWN, "the server did not say how the call ended")]
        frame = web.trailers_frame(said)
        return frame if self._coding is None else self._coding.feed(frame, flush=True), None


GRPC_WEB = Factory("grpc_web", GrpcWeb.of, GrpcWebSettings)
"""The factory of the filter."""
