"""Tests for :mod:`balancer.observe.formats`."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.address import Peer
from balancer.model.facts import RequestFacts
from balancer.model.frames import WebSocketRecord
from balancer.model.tls import ClientCertificate, TLSInfo
from balancer.observe.formats import Clf, Combined, Haproxy, Json, JsonSettings
from balancer.observe.records import ExchangeRecord, SessionRecord

AT = 784111777.25  # Sun, 06 Nov 1994 08:49:37.25 GMT
NASTY = 'a"b\\c\n\x00\x7fé\udcff'


def _exchange(**changes: Any) -> ExchangeRecord:
    record = ExchangeRecord()
    given = {
        "started": AT,
        "listener": "web",
        "client": "192.0.2.7",
        "client_port": 4711,
        "method": "GET",
        "target": "/a?b=c",
        "host": "shop.example",
        "route": "shop",
        "pool": "shop",
        "server": "one",
        "status": 200,
        "attempts": 2,
        "bytes_in": 3,
        "bytes_out": 100,
        "head": 0.001,
        "connect": 0.002,
        "first_byte": 0.03,
        "total": 0.0405,
        "request_id": "id-1",
        "headers": [(b"Referer", b"http://a/"), (b"USER-AGENT", b'curl "8"')],
    }
    for name, value in (given | changes).items():
        setattr(record, name, value)
    return record


def _session(**changes: Any) -> SessionRecord:
    record = SessionRecord("tcp")
    given = {
        "started": AT,
        "listener": "db",
        "client": "2001:db8::7",
        "client_port": 4711,
        "pool": "db",
        "server": "one",
        "attempts": 1,
        "bytes_in": 30,
        "bytes_out": 100,
        "connect": 0.002,
        "total": 1.5,
    }
    for name, value in (given | changes).items():
        setattr(record, name, value)
    return record


class JsonTests(SynchronousTestCase):
    def _tls(self, tls: TLSInfo | None) -> Any:
        peer = Peer("192.0.2.7", 1)
        facts = RequestFacts("GET", "/", [], peer, peer, tls=tls)
        return json.loads(Json().exchange(_exchange(facts=facts))).get("tls")

    def test_tls(self) -> None:
        """How the connection was protected, and who the client has proved to be; of plain connections nothing."""
        self.assertIsNone(self._tls(None))
        self.assertEqual(
            self._tls(TLSInfo("TLSv1.2", "X", resumed=True)), {"version": "TLSv1.2", "cipher": "X", "resumed": True}
        )
        session = json.loads(Json().session(_session(tls=TLSInfo("TLSv1.3", "Y", "shop.example"))))
        self.assertEqual(session["tls"]["sni"], "shop.example")
        client = ClientCertificate(NASTY[:-1], "CN=CA", (), "ab", "1", 0.0, "")
        self.assertEqual(
            self._tls(TLSInfo("TLSv1.3", "Y", "shop.example", "h2", client=client)),
            {
                "version": "TLSv1.3",
                "cipher": "Y",
                "sni": "shop.example",
                "alpn": "h2",
                "resumed": False,
                "client": NASTY[:-1],
                "client_fingerprint": "ab",
            },
        )

    def test_headers(self) -> None:
        """Fields of the request that were asked for are there by name, all values of them, whatever they hold."""
        headers = [
            (b"Accept-Language", b" de "),
            (b"X-Two", b"1"),
            (b"x-two", NASTY.encode("utf-8", "surrogateescape")),
            (b"Cookie", b"secret"),
        ]
        for settings, expected in (
            (
                JsonSettings(headers=("accept-language", "X-TWO", "X-Three")),
                {
                    "accept-language": ["de"],
                    "x-two": ["1", NASTY.encode("utf-8", "surrogateescape").decode("latin-1").strip(" \t")],
                },
            ),
            (JsonSettings(headers=("X-Three",)), None),
            (JsonSettings(), None),
        ):
            line = Json(settings).exchange(_exchange(headers=headers))
            self.assertEqual(json.loads(line).get("headers"), expected)
            self.assertEqual(len(line.splitlines()), 1)
        with self.assertRaises(ValueError):
            JsonSettings(headers=("Not a name",))

    def test_server_protocol(self) -> None:
        """What the server was asked in is there if it was asked."""
        for protocol in ("http1", "h2"):
            line = json.loads(Json().exchange(_exchange(server_protocol=protocol)))
            self.assertEqual((line["server"], line["server_protocol"]), ("one", protocol))
        self.assertNotIn("server_protocol", json.loads(Json().exchange(_exchange())))

    def test_exchange(self) -> None:
        """Everything is there, by name; what did not happen is not."""
        self.assertEqual(
            json.loads(Json().exchange(_exchange())),
            {
                "time": "1994-11-06T08:49:37.250Z",
                "listener": "web",
                "client": "192.0.2.7",
                "client_port": 4711,
                "method": "GET",
                "host": "shop.example",
                "target": "/a?b=c",
                "version": "1.1",
                "status": 200,
                "route": "shop",
                "pool": "shop",
                "server": "one",
                "attempts": 2,
                "bytes_in": 3,
                "bytes_out": 100,
                "total": 0.0405,
                "accept": 0.001,
                "connect": 0.002,
                "first_byte": 0.03,
                "user_agent": 'curl "8"',
                "referer": "http://a/",
                "request_id": "id-1",
            },
        )

    def test_http2(self) -> None:
        """A request of HTTP/2 has its stream."""
        found = json.loads(Json().exchange(_exchange(version="2.0", h2_stream=7)))
        self.assertEqual((found["version"], found["h2_stream"]), ("2.0", 7))

    def test_grpc(self) -> None:
        """A call has its status, others have none."""
        self.assertEqual(json.loads(Json().exchange(_exchange(grpc=True, grpc_status=14)))["grpc_status"], 14)
        self.assertNotIn("grpc_status", json.loads(Json().exchange(_exchange())))

    def test_trouble(self) -> None:
        """Reason, detail, time in the queue and notes of filters."""
        record = _exchange(reason="connection_refused", detail=NASTY, queue=0.5, notes={"waf": {"score": 5}})
        found = json.loads(Json().exchange(record))
        self.assertEqual((found["reason"], found["detail"], found["queue"]), ("connection_refused", NASTY, 0.5))
        self.assertEqual(found["notes"], {"waf": {"score": 5}})

    def test_websocket(self) -> None:
        """What went through a WebSocket: only kinds of frames that there were, and who closed it."""
        counts = WebSocketRecord()
        counts.received.frames[1] = counts.received.messages = 3
        record = _exchange(status=101, websocket=counts)
        found = json.loads(Json().exchange(record))["websocket"]
        want = {"messages_in": 3, "messages_out": 0, "frames_in": {"text": 3}, "frames_out": {}}
        self.assertEqual(found, want)
        counts.closed_by, counts.close_code, counts.pings, counts.sent.violations = "server", 1000, 2, 1
        want |= {"closed_by": "server", "close_code": 1000, "pings": 2, "violations_in": 0, "violations_out": 1}
        self.assertEqual(json.loads(Json().exchange(record))["websocket"], want)

    def test_session_id(self) -> None:
        """The id of a session that a server was told is there."""
        self.assertNotIn("session_id", json.loads(Json().session(_session())))
        self.assertEqual(json.loads(Json().session(_session(session_id="id-1")))["session_id"], "id-1")

    def test_session(self) -> None:
        """Sessions and flows."""
        found = json.loads(Json().session(_session()))
        self.assertEqual((found["protocol"], found["bytes_in"], found["total"]), ("tcp", 30, 1.5))
        self.assertNotIn("datagrams_in", found)
        flow = SessionRecord("udp")
        flow.datagrams_out = 7
        self.assertEqual(json.loads(Json().session(flow))["datagrams_out"], 7)

    def test_session_of_a_tls_client(self) -> None:
        """Name and protocols stand there only where they were looked at; nothing a client sends breaks the line."""
        self.assertNotIn("sni", json.loads(Json().session(_session())))
        found = json.loads(Json().session(_session(sni="shop.example", alpn=("h2", '"\xff\n'))))
        self.assertEqual((found["sni"], found["alpn"]), ("shop.example", ["h2", '"\xff\n']))
        found = json.loads(Json().session(_session(sni="")))
        self.assertEqual((found["sni"], found["alpn"]), ("", []))


class TextTests(SynchronousTestCase):
    def test_clf(self) -> None:
        self.assertEqual(
            Clf().exchange(_exchange()), '192.0.2.7 - - [06/Nov/1994:08:49:37 +0000] "GET /a?b=c HTTP/1.1" 200 100'
        )
        self.assertEqual(
            Clf().session(_session(bytes_out=0)), '2001:db8::7 - - [06/Nov/1994:08:49:37 +0000] "TCP db one" - -'
        )

    def test_combined(self) -> None:
        self.assertEqual(
            Combined().exchange(_exchange(client="")),
            'unix - - [06/Nov/1994:08:49:37 +0000] "GET /a?b=c HTTP/1.1" 200 100 "http://a/" "curl \\x228\\x22"',
        )
        self.assertTrue(Combined().exchange(_exchange(headers=[])).endswith('100 "-" "-"'))

    def test_haproxy(self) -> None:
        self.assertEqual(
            Haproxy().exchange(_exchange()),
            "192.0.2.7:4711 [06/Nov/1994:08:49:37.250] web shop/one 1/0/2/30/40 200 100 - - ---- 0/0/0/0/1 0/0 "
            '"GET /a?b=c HTTP/1.1"',
        )
        refused = _exchange(pool="", server="", reason="destination_not_found", status=404, connect=-1, first_byte=-1)
        self.assertIn(" <NOSRV>/<NOSRV> 1/0/-1/-1/40 404 100 - - PR-- ", Haproxy().exchange(refused))
        self.assertEqual(
            Haproxy().session(_session(reason="connection_timeout")),
            "2001:db8::7:4711 [06/Nov/1994:08:49:37.250] db db/one 0/2/1500 100 sC 0/0/0/0/0 0/0",
        )


class SafetyTests(SynchronousTestCase):
    def test_nothing_breaks_a_line(self) -> None:
        """Whatever a client sends, a line stays one line of ASCII, and JSON stays JSON."""
        nasty = _exchange(
            target=NASTY,
            host=NASTY,
            method=NASTY,
            headers=[(b"User-Agent", bytes(range(256))), (b"Referer", b'"\r\n')],
        )
        for form in (Json(), Clf(), Combined(), Haproxy()):
            line = form.exchange(nasty)
            self.assertTrue(line.isascii() and line.isprintable(), line)
        found = json.loads(Json().exchange(nasty))
        self.assertEqual((found["target"], found["user_agent"]), (NASTY, bytes(range(256)).decode("latin-1")))
        self.assertEqual(Clf().exchange(nasty).count('"'), 2)
