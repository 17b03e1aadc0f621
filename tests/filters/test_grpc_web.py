"""Tests for :mod:`balancer.filters.grpc_web`: the filter alone, and in a listener in memory."""

from __future__ import annotations

import base64
from typing import Any

import h2.events
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from balancer.filters.grpc_web import GRPC_WEB, GrpcWeb, GrpcWebSettings
from balancer.hooks.interfaces import IFilter
from balancer.model.exchange import Exchange
from balancer.model.headers import RawHeaders, first
from balancer.wire.grpc.messages import frame
from balancer.wire.grpc.web import trailers_frame
from tests.listeners.http2.conversation import Client, ConversationTestCase
from tests.routing.making import facts

FILTERS = "filters: [{grpc_web: {cors: ['https://shop.example']}}]"
LISTENER = f"{FILTERS}, pool: web"
ORIGIN = (b"origin", b"https://shop.example")
OPENING = b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc+proto\r\nTransfer-Encoding: chunked\r\nX-Mine: 1\r\nTrailer: grpc-status\r\n\r\n"
ENDING = b"0\r\ngrpc-status: 5\r\ngrpc-message: no\r\n\r\n"
SAID = [(b"grpc-status", b"5"), (b"grpc-message", b"no")]


def web(**settings: Any) -> GrpcWeb:
    made: GrpcWeb = GRPC_WEB.build(GrpcWebSettings.model_validate(settings))
    verifyObject(IFilter, made)
    return made


def exchange(kind: str, *more: tuple[str, str], method: str = "POST") -> Exchange:
    fields = (("Content-Type", kind), ("X-Grpc-Web", "1"), *more)
    raw = [(name.encode(), value.encode()) for name, value in fields]
    return Exchange(facts("/a.B/C", method, headers=fields), raw)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def dechunked(message: bytes) -> bytes:
    return b"".join(message.partition(b"\r\n\r\n")[2].split(b"\r\n")[1:-3:2])


class GrpcWebTests(SynchronousTestCase):
    """Requests and heads."""

    def test_request(self) -> None:
        """It becomes a call of gRPC with the same kind of messages."""
        call = exchange("application/grpc-web+proto", ("X-Mine", "1"))
        self.assertIsNone(web().request(call))
        self.assertEqual(
            call.headers, [(b"X-Mine", b"1"), (b"Content-Type", b"application/grpc+proto"), (b"TE", b"trailers")]
        )
        self.assertIsNone(call.request_transform)
        self.assertEqual(web().describe(call), "gRPC-Web to gRPC, answers in binary")

    def test_text(self) -> None:
        """Base64 is decoded, and spoken back where that is asked for."""
        for kind, accept, text in (
            ("application/grpc-web-text", "", True),
            ("application/grpc-web-text+proto", "application/grpc-web-text", True),
            ("application/grpc-web-text", "application/grpc-web+proto", False),
            ("application/grpc-web", "application/grpc-web-text", True),
            ("application/grpc-web", "*/*", False),
        ):
            call = exchange(kind, *([("Accept", accept)] if accept else []))
            web().request(call)
            self.assertEqual(call.request_transform is not None, "text" in kind, kind)
            self.assertEqual(web().describe(call).endswith("base64"), text, (kind, accept))

    def test_others(self) -> None:
        """What is no gRPC-Web passes, and so do its answers."""
        for other in (
            exchange("application/grpc"),
            exchange("text/plain"),
            exchange("application/grpc-web", method="GET"),
        ):
            before = list(other.headers)
            self.assertIsNone(web(cors=["*"]).request(other))
            other.response_headers = [(b"content-type", b"application/grpc")]
            web(cors=["*"]).response(other)
            self.assertEqual(other.headers, before)
            self.assertEqual(other.response_headers, [(b"content-type", b"application/grpc")])
            self.assertIsNone(other.response_transform)
            self.assertEqual(web().describe(other), "no gRPC-Web: passes untouched")

    def test_whole_body(self) -> None:
        """A body that another filter has had collected is decoded where it is."""
        call = exchange("application/grpc-web-text")
        call.body = base64.b64encode(frame(b"a")) + base64.b64encode(frame(b"bc"))
        self.assertIsNone(web().request(call))
        self.assertEqual(call.body, frame(b"a") + frame(b"bc"))
        for bad in (b"AAA", b"????"):
            call = exchange("application/grpc-web-text")
            call.body = bad
            reply = web().request(call)
            assert reply is not None
            self.assertEqual((reply.status, reply.reason), (400, "http_request_error"))

    def test_response(self) -> None:
        """A head with a status is the answer; before messages it says nothing of how they end. A bare type gets the client's kind."""
        for said, streams in (([], True), ([(b"grpc-status", b"5")], False)):
            call = exchange("application/grpc-web-text+proto")
            web().request(call)
            headers: RawHeaders = [(b"content-type", b"application/grpc"), (b"trailer", b"x"), *said]
            call.response_headers = headers
            web().response(call)
            self.assertEqual(call.response_headers, [(b"content-type", b"application/grpc-web-text+proto"), *said])
            self.assertEqual(call.response_transform is not None, streams)

    def test_no_grpc_in_return(self) -> None:
        """A page of a server, or of a proxy before it, stays what it is."""
        call = exchange("application/grpc-web", ("Origin", "https://shop.example"))
        made = web(cors="https://shop.example")
        made.request(call)
        call.response_headers = [(b"content-type", b"text/html")]
        made.response(call)
        self.assertEqual(first(call.response_headers, b"content-type"), b"text/html")
        self.assertEqual(first(call.response_headers, b"access-control-allow-origin"), b"https://shop.example")
        self.assertIsNone(call.response_transform)

    def test_preflight(self) -> None:
        """A browser that asks for other things than gRPC-Web is none of its business."""
        asked = [("origin", "https://shop.example"), ("access-control-request-method", "POST")]
        for names, answered in (("content-type, x-grpc-web", True), ("content-type", False)):
            said = (*asked, ("access-control-request-headers", names))
            call = Exchange(facts("/a.B/C", "OPTIONS", headers=said), [])
            self.assertEqual(web(cors="*").request(call) is not None, answered)
            self.assertIsNone(web().request(call))

    def test_repr(self) -> None:
        """It says whose pages may call."""
        self.assertEqual(repr(web()), "<GrpcWeb>")
        self.assertEqual(repr(web(cors="*")), "<GrpcWeb <Cors *>>")


class ConversationTests(ConversationTestCase):
    """Bodies, and what the balancer itself says, over HTTP/2."""

    def call(self, kind: bytes, *pieces: bytes, listener: str = LISTENER, ended: bool = True) -> Client:
        self.listen(listener)
        client = self.client()
        fields = [(b"content-type", kind), (b"x-grpc-web", b"1"), ORIGIN]
        client.begin(b"/shop.Cart/Add", b"POST", *fields, ended=False)
        for at, piece in enumerate(pieces, 1):
            client.h2.send_data(1, piece, end_stream=ended and at == len(pieces))
            client.turn()
        return client

    def test_binary(self) -> None:
        """Messages pass as they come; the trailers are the last one."""
        client = self.call(b"application/grpc-web+proto", frame(b"hello"))
        asked = self.asked()
        self.assertIn(b"application/grpc+proto", asked)
        self.assertIn(b"TE: trailers\r\n", asked)
        self.assertNotIn(b"x-grpc-web", asked.lower())
        self.assertIn(frame(b"hello"), asked)
        self.say(client, OPENING + chunk(frame(b"one")))
        self.assertEqual(client.body(1), frame(b"one"))
        head = client.head(1)
        self.assertEqual(head[b"content-type"], b"application/grpc-web+proto")
        self.assertEqual(head[b"access-control-allow-origin"], b"https://shop.example")
        self.assertIn(b"x-mine", head[b"access-control-expose-headers"])
        self.assertNotIn(b"trailer", head)
        self.say(client, ENDING)
        self.assertEqual(client.body(1), frame(b"one") + trailers_frame(SAID))
        self.assertFalse(client.of(1, h2.events.TrailersReceived))
        self.assertTrue(client.ended(1))
        [record] = self.records
        self.assertEqual((record.grpc, record.status, record.grpc_status), (True, 200, 5))

    def test_text(self) -> None:
        """In base64 each piece that comes can be read at once, and so can those of the client, wherever they are cut and padded."""
        sent = base64.b64encode(frame(b"hello")) + base64.b64encode(frame(b"you"))
        for cut in range(1, len(sent)):
            client = self.call(b"application/grpc-web-text", sent[:cut], sent[cut:])
            self.assertEqual(dechunked(self.asked()), frame(b"hello") + frame(b"you"))
        self.say(client, OPENING + chunk(frame(b"one")))
        self.assertEqual(base64.b64decode(client.body(1)), frame(b"one"))
        self.say(client, ENDING)
        self.assertEqual(client.body(1), base64.b64encode(frame(b"one")) + base64.b64encode(trailers_frame(SAID)))
        self.assertEqual(client.head(1)[b"content-type"], b"application/grpc-web-text+proto")

    def test_no_base64(self) -> None:
        """What is no base64, or ends too soon, is refused as gRPC-Web says it, at whatever point it comes."""
        for pieces in ([b"????"], [b"AAAA", b"????"], [b"AAA"], [b"AAAA", b"AA"]):
            client = self.call(b"application/grpc-web-text", *pieces)
            head = client.head(1)
            self.assertEqual((head[b":status"], head[b"grpc-status"]), (b"200", b"13"), pieces)
            self.assertEqual(head[b"content-type"], b"application/grpc-web-text")
            self.assertEqual([server.server.active for server in self.runtime.servers], [0] * len(self.runtime.servers))

    def test_trailers_only(self) -> None:
        """A status without messages stays in the head, where pages can read it."""
        client = self.call(b"application/grpc-web", frame(b"a"))
        self.say(
            client,
            b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: 7\r\ngrpc-status-details-bin: AA\r\n"
            b"Content-Length: 0\r\n\r\n",
        )
        head = client.head(1)
        self.assertEqual((head[b"grpc-status"], head[b"content-type"]), (b"7", b"application/grpc-web"))
        self.assertIn(b"grpc-status-details-bin", head[b"access-control-expose-headers"])
        self.assertEqual((client.body(1), client.ended(1)), (b"", True))

    def test_no_status(self) -> None:
        """A server that does not say how it ended has it said for it."""
        client = self.call(b"application/grpc-web", frame(b"a"))
        self.say(client, OPENING + b"0\r\n\r\n")
        self.assertIn(b"grpc-status: 2\r\n", client.body(1))

    def test_own_answers(self) -> None:
        """What the balancer has to say is a status, too: no route, a refusal."""
        for routes, code in (
            ("routes: [{match: {path: /no}, pool: web}]", b"12"),
            ("routes: [{respond: {status: 403}}]", b"7"),
        ):
            client = self.call(b"application/grpc-web-text", b"AAAA", listener=f"{FILTERS}, {routes}")
            head = client.head(1)
            self.assertEqual((head[b":status"], head[b"grpc-status"]), (b"200", code))
            self.assertEqual(head[b"content-type"], b"application/grpc-web-text")
            self.assertEqual(head[b"access-control-allow-origin"], b"https://shop.example")

    def test_server_dies(self) -> None:
        """In the middle of an answer the trailers of ours say so."""
        client = self.call(b"application/grpc-web", frame(b"a"))
        self.say(client, OPENING + chunk(frame(b"one")))
        self.runtime.servers[-1].connectionLost(Failure(ConnectionLost()))
        client.turn()
        self.assertIn(b"grpc-status: 14\r\n", client.body(1))
        self.assertTrue(client.ended(1))

    def test_matched(self) -> None:
        """Behind the filter of a listener such calls take gRPC's routes."""
        self.call(
            b"application/grpc-web",
            frame(b"a"),
            listener=f"{FILTERS}, routes: [{{match: {{grpc: shop.Cart}}, pool: web}}]",
        )
        self.assertIn(b"POST /shop.Cart/Add", self.asked())
