"""Tests for :mod:`balancer.forwarding.headers`."""

from __future__ import annotations

import ipaddress

from twisted.trial.unittest import SynchronousTestCase

from balancer.forwarding.headers import (
    Arrival,
    HeaderPolicy,
    TrustedPeers,
    believed_client,
    believed_request_id,
    believed_scheme,
    outgoing,
    request_frame,
    response_frame,
    with_framing,
)
from balancer.model.address import Peer
from balancer.model.headers import RawHeaders
from balancer.model.origin import Origin
from balancer.model.tls import ClientCertificate, TLSInfo
from balancer.wire.http1 import encode
from balancer.wire.http1.heads import RequestHead
from balancer.wire.http1.responses import ResponseHead

TRUSTED = HeaderPolicy(TrustedPeers([ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]))
LOCAL = Peer("10.0.0.1", 80)


def _arrival(peer: str, policy: HeaderPolicy = TRUSTED) -> Arrival:
    return Arrival(Origin(Peer(peer, 5000), LOCAL), policy)


def _head(forwarding: RawHeaders | None = None, plain: RawHeaders | None = None) -> RequestHead:
    head = RequestHead("GET", "/", "1.1", [])
    head.forwarding = list(forwarding or [])
    head.plain = list(plain or [])
    return head


class ClientTests(SynchronousTestCase):
    def client(self, peer: str, *values: bytes) -> str:
        head = _head([(b"X-Forwarded-For", value) for value in values])
        return believed_client(head, _arrival(peer), TRUSTED).host

    def test_untrusted(self) -> None:
        """What a client outside the trusted networks says about itself is not believed."""
        self.assertEqual(self.client("192.0.2.1", b"1.2.3.4"), "192.0.2.1")

    def test_the_first_untrusted_from_the_right(self) -> None:
        self.assertEqual(self.client("10.0.0.9", b"6.6.6.6, 192.0.2.1, 10.1.1.1"), "192.0.2.1")
        self.assertEqual(self.client("10.0.0.9", b"6.6.6.6", b"192.0.2.1", b"10.1.1.1"), "192.0.2.1")
        self.assertEqual(self.client("10.0.0.9", b"10.2.2.2, 10.1.1.1"), "10.2.2.2")

    def test_what_is_no_address_ends_the_walk(self) -> None:
        self.assertEqual(self.client("10.0.0.9", b"192.0.2.1, unknown, 10.1.1.1"), "10.1.1.1")
        self.assertEqual(self.client("10.0.0.9", b"unknown"), "10.0.0.9")
        self.assertEqual(self.client("10.0.0.9", b'fe80::1%"x'), "10.0.0.9")
        self.assertEqual(self.client("10.0.0.9"), "10.0.0.9")

    def test_ports_and_brackets(self) -> None:
        self.assertEqual(self.client("10.0.0.9", b"192.0.2.1:1234"), "192.0.2.1")
        self.assertEqual(self.client("10.0.0.9", b"[2001:db8::1]:99"), "2001:db8::1")
        self.assertEqual(self.client("10.0.0.9", b"2001:db8::1"), "2001:db8::1")
        self.assertEqual(self.client("fd00::1", b"2001:db8::1"), "2001:db8::1")

    def test_unix_socket(self) -> None:
        """Who may open the unix socket is trusted as soon as anybody is."""
        self.assertEqual(self.client("", b"192.0.2.1"), "192.0.2.1")


class BeliefTests(SynchronousTestCase):
    def test_scheme(self) -> None:
        said = _head([(b"X-Forwarded-Proto", b"HTTPS")])
        self.assertEqual(believed_scheme(said, _arrival("10.0.0.9")), "https")
        self.assertEqual(believed_scheme(said, _arrival("192.0.2.1")), "http")
        self.assertEqual(believed_scheme(_head([(b"x-forwarded-proto", b"gopher")]), _arrival("10.0.0.9")), "http")

    def test_request_id(self) -> None:
        head = _head()
        for given, kept in (
            (b"abc-1", "abc-1"),
            (b"Root=1-6789{x}", "Root=1-6789{x}"),
            (b"a b", None),
            (b"x" * 129, None),
            (b"\xe9", None),
            (b"", None),
            (b'a"b', None),  # in a log it would end a string
            (b"a\\", None),
        ):
            head.request_id = given
            self.assertEqual(believed_request_id(head, _arrival("10.0.0.9")), kept)
        head.request_id = b"abc-1"
        self.assertIsNone(believed_request_id(head, _arrival("192.0.2.1")))


class OutgoingTests(SynchronousTestCase):
    def test_untrusted(self) -> None:
        """Forwarding fields are made anew; what came with the request is gone."""
        head = _head([(b"X-Forwarded-For", b"1.2.3.4"), (b"Forwarded", b"for=1.2.3.4")], [(b"Accept", b"*/*")])
        self.assertEqual(
            outgoing(head, b"shop", _arrival("192.0.2.1"), TRUSTED, "id"),
            [
                (b"Host", b"shop"),
                (b"Accept", b"*/*"),
                (b"X-Forwarded-For", b"192.0.2.1"),
                (b"X-Forwarded-Proto", b"http"),
                (b"X-Forwarded-Port", b"80"),
                (b"X-Forwarded-Host", b"shop"),
                (b"X-Request-Id", b"id"),
                (b"Via", b"1.1 balancer"),
            ],
        )

    def test_trusted(self) -> None:
        """What trusted peers say is kept and extended."""
        head = _head(
            [
                (b"X-Forwarded-For", b"1.2.3.4"),
                (b"X-Forwarded-Proto", b"https"),
                (b"Forwarded", b"for=1.2.3.4;proto=https"),
                (b"X-Real-IP", b"1.2.3.4"),
            ]
        )
        found = outgoing(head, b"shop", _arrival("fd00::9"), TRUSTED, "")
        for pair in (
            (b"X-Forwarded-For", b"1.2.3.4, fd00::9"),
            (b"X-Forwarded-Proto", b"https"),
            (b"Forwarded", b'for=1.2.3.4;proto=https, for="[fd00::9]";proto=http'),
            (b"X-Real-IP", b"1.2.3.4"),
            (b"X-Forwarded-Port", b"80"),
            (b"X-Forwarded-Host", b"shop"),
        ):
            self.assertEqual(found.count(pair), 1, pair)
        self.assertEqual(len([name for name, _ in found if name == b"X-Forwarded-Proto"]), 1)

    def test_what_is_switched_off(self) -> None:
        policy = HeaderPolicy(TrustedPeers(), via=False, request_id=False)
        names = [name for name, _ in outgoing(_head(), None, _arrival("", policy), policy, "id")]
        self.assertEqual(names, [b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Port"])


class RequestFrameTests(SynchronousTestCase):
    def test_like_the_long_way(self) -> None:
        """One go makes the same bytes as list and encoder."""
        for host in (b"shop", None):
            for te in (False, True):
                for policy in (TRUSTED, HeaderPolicy(TrustedPeers(), via=False, request_id=False)):
                    head = _head(plain=[(b"Accept", b"*/*"), (b"X", b"")])
                    head.te_trailers = te
                    arrival = _arrival("192.0.2.1", policy)
                    headers = with_framing(
                        outgoing(head, host, arrival, policy, "id"), head, length=None, chunked=False
                    )
                    before, after = request_frame(head, "/\xe9", host, arrival, policy)
                    self.assertEqual(
                        before + (b"id" + after if after else b""), encode.request_head("GET", "/\xe9", headers)
                    )


class ViaTests(SynchronousTestCase):
    def test_version(self) -> None:
        """Via names the version in which a message was received, in both directions (RFC 9110 section 7.6.3)."""
        for version in ("1.0", "1.1"):
            line = f"Via: {version} balancer\r\n".encode()
            head = RequestHead("GET", "/", version, [])
            self.assertIn((b"Via", version.encode() + b" balancer"), outgoing(head, b"a", _arrival("::1"), TRUSTED, ""))
            self.assertIn(line, b"".join(request_frame(head, "/", b"a", _arrival("::1"), TRUSTED)))
            self.assertIn(line, b"".join(response_frame(ResponseHead(200, b"OK", [], version), TRUSTED)))


ALICE = ClientCertificate("CN=alice", "CN=CA", (), "ab", "1", 0.0, "")
CERTIFIED = HeaderPolicy(TRUSTED.trusted, client_certificates=True)


class ClientCertificateTests(SynchronousTestCase):
    """Servers are told who the client has proved to be."""

    def _sent(self, peer: str, policy: HeaderPolicy, client: ClientCertificate | None) -> dict[bytes, bytes]:
        origin = Origin(Peer(peer, 5000), LOCAL, TLSInfo("TLSv1.3", "", client=client))
        arrival = Arrival(origin, policy)
        found = outgoing(_head(), b"a", arrival, policy, "id")
        if not arrival.trusted:
            before, after = request_frame(_head(), "/", b"a", arrival, policy)
            self.assertEqual(before + b"id" + after, encode.request_head("GET", "/", found))
        return dict(found)

    def test_told(self) -> None:
        """With and without trusted peers before us, where it is wanted and there is a certificate."""
        for peer in ("192.0.2.1", "10.0.0.9"):
            self.assertEqual(self._sent(peer, CERTIFIED, ALICE)[b"X-Client-Cert-Subject"], b"CN=alice")
            self.assertNotIn(b"X-Client-Cert-Subject", self._sent(peer, CERTIFIED, None))
            self.assertNotIn(b"X-Client-Cert-Subject", self._sent(peer, TRUSTED, ALICE))


class HstsTests(SynchronousTestCase):
    """Strict-Transport-Security."""

    def test_ours(self) -> None:
        """It is in every answer once: ours, not the server's."""
        policy = HeaderPolicy(TrustedPeers(), hsts=b"max-age=5")
        head = ResponseHead(200, b"OK", [(b"X", b"1"), (b"strict-transport-security", b"max-age=0")], "1.1")
        head.plain = list(head.headers)
        found = b"".join(response_frame(head, policy))
        self.assertIn(b"X: 1\r\nStrict-Transport-Security: max-age=5\r\n", found)
        self.assertNotIn(b"max-age=0", found)
        self.assertIn(b"max-age=0", b"".join(response_frame(head, TRUSTED)))


class FramingTests(SynchronousTestCase):
    def test_bodies(self) -> None:
        self.assertEqual(with_framing([], _head(), length=None, chunked=True), [(b"Transfer-Encoding", b"chunked")])
        self.assertEqual(with_framing([], _head(), length=0, chunked=False), [(b"Content-Length", b"0")])
        self.assertEqual(with_framing([], _head(), length=None, chunked=False), [])

    def test_upgrade(self) -> None:
        head = _head()
        head.upgrade = b"websocket"
        head.te_trailers = True
        self.assertEqual(
            with_framing([], head, length=None, chunked=False),
            [(b"Connection", b"TE, Upgrade"), (b"Upgrade", b"websocket")],
        )
