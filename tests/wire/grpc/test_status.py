"""Tests of statuses."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer import errors
from balancer.errors import ExchangeError, Reason
from balancer.wire.grpc.status import (
    Status,
    decode_message,
    encode_message,
    is_grpc,
    of_http,
    of_reason,
    of_reply,
    of_response,
    to_http,
    trailers,
    trailers_only,
)


class StatusTests(SynchronousTestCase):
    def test_of_http(self) -> None:
        """As http-grpc-status-mapping.md has it."""
        for status, code in ((400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (503, 14), (504, 14)):
            self.assertEqual(of_http(status), code)
        for status in (200, 302, 405, 418, 500):
            self.assertEqual(of_http(status), Status.UNKNOWN)

    def test_to_http(self) -> None:
        """Every code has an HTTP status; those that do not exist are errors."""
        self.assertEqual(
            [to_http(code) for code in (0, 1, 4, 5, 7, 8, 12, 14, 16)], [200, 499, 504, 404, 403, 429, 501, 503, 401]
        )
        self.assertEqual([to_http(code) for code in (-1, 17, 99)], [500] * 3)
        for code in Status:
            self.assertLess(to_http(code), 600)

    def test_own_errors(self) -> None:
        """A client learns whether to try again, whether it was too late, or whether it is its own fault."""
        for reason, code in (
            (errors.CONNECTION_REFUSED, Status.UNAVAILABLE),
            (errors.CONNECTION_TERMINATED, Status.UNAVAILABLE),
            (errors.CONNECTION_TIMEOUT, Status.UNAVAILABLE),
            (errors.DESTINATION_UNAVAILABLE, Status.UNAVAILABLE),
            (errors.DNS_ERROR, Status.UNAVAILABLE),
            (errors.OVERLOADED, Status.UNAVAILABLE),
            (errors.HTTP_RESPONSE_INCOMPLETE, Status.UNAVAILABLE),
            (errors.HTTP_RESPONSE_TIMEOUT, Status.DEADLINE_EXCEEDED),
            (errors.CONNECTION_READ_TIMEOUT, Status.DEADLINE_EXCEEDED),
            (errors.HTTP_REQUEST_TIMEOUT, Status.DEADLINE_EXCEEDED),
            (errors.DESTINATION_NOT_FOUND, Status.UNIMPLEMENTED),
            (errors.HTTP_REQUEST_DENIED, Status.PERMISSION_DENIED),
            (errors.CONNECTION_LIMIT_REACHED, Status.RESOURCE_EXHAUSTED),
            (errors.HTTP_BODY_TOO_LARGE, Status.RESOURCE_EXHAUSTED),
            (errors.HTTP_PROTOCOL_ERROR, Status.INTERNAL),
            (errors.PROXY_INTERNAL_ERROR, Status.INTERNAL),
            (errors.CLIENT_GONE, Status.CANCELLED),
        ):
            self.assertEqual(of_reason(reason), code, reason)
        for reason in vars(errors).values():
            if isinstance(reason, Reason):
                self.assertIsNot(of_reason(reason), Status.OK)

    def test_trailers_only(self) -> None:
        """An error of ours is one set of fields, in the client's own type."""
        self.assertEqual(
            trailers_only(ExchangeError(errors.CONNECTION_REFUSED), b"application/grpc+proto"),
            [
                (b"content-type", b"application/grpc+proto"),
                (b"grpc-status", b"14"),
                (b"grpc-message", b"The server refused the connection. (connection_refused)"),
            ],
        )
        self.assertEqual(trailers(Status.OK), [(b"grpc-status", b"0")])

    def test_of_response(self) -> None:
        """The trailers say it, else the head, else the HTTP status."""
        ok = [(b"Grpc-Status", b"0")]
        for status, headers, fields, code in (
            (200, [], ok, 0),
            (200, ok, None, 0),
            (200, ok, [(b"grpc-status", b"13")], 13),
            (503, ok, None, 0),
            (503, [], None, 14),
            (200, [], None, 2),
            (200, [], [(b"grpc-status", b"-1")], 2),
            (200, [], [(b"grpc-status", b"42")], 42),
        ):
            self.assertEqual(of_response(status, headers, fields), code)

    def test_of_reply(self) -> None:
        """A reply of the balancer's own says why, or at least what it was."""
        self.assertEqual(of_reply(403, "too many points"), (Status.PERMISSION_DENIED, "too many points"))
        self.assertEqual(of_reply(503, ""), (Status.UNAVAILABLE, "HTTP status 503"))

    def test_is_grpc(self) -> None:
        """By content type; gRPC-Web is something else."""
        for value in (b"application/grpc", b"application/grpc+proto", b"Application/gRPC; x=y"):
            self.assertTrue(is_grpc([(b"Content-Type", value)]), value)
        for value in (b"application/grpc-web", b"application/grpcx", b"text/plain"):
            self.assertFalse(is_grpc([(b"Content-Type", value)]), value)
        self.assertFalse(is_grpc([]))


class MessageTests(SynchronousTestCase):
    def test_encoding(self) -> None:
        """Printable ASCII but for the percent sign stands for itself."""
        for text, value in (
            ("all good", b"all good"),
            ("100%", b"100%25"),
            ("a\r\nb", b"a%0D%0Ab"),
            ("é☃", b"%C3%A9%E2%98%83"),
            ("~ \x7f", b"~ %7F"),
        ):
            self.assertEqual(encode_message(text), value)
            self.assertEqual(decode_message(value), text)

    def test_broken(self) -> None:
        """What is no encoding is kept, and never an error."""
        self.assertEqual(decode_message(b"50% off %zz %"), "50% off %zz %")
        self.assertEqual(decode_message(b"%ff"), "\ufffd")

    @given(st.text())
    def test_round_trip(self, text: str) -> None:
        """Any text comes back, and cannot break a header line."""
        value = encode_message(text)
        self.assertTrue(all(0x20 <= byte <= 0x7E for byte in value))
        self.assertEqual(decode_message(value), text)
