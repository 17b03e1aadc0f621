"""Tests for :mod:`balancer.acme.renewal_info`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from balancer.acme.faults import OrderError
from balancer.acme.renewal_info import NOT_OFFERED, UNASKED, ask_window, certificate_id
from balancer.acme.schedule import Window
from tests.acme.test_conversation import StubTestCase
from tests.tls.authority import Authority, unsigned

NOW = datetime.now(UTC).replace(microsecond=0)
T0 = NOW.timestamp()


class RenewalInfoTests(StubTestCase):
    """When an authority suggests to renew."""

    def setUp(self) -> None:
        super().setUp()
        self.pem = self.order()
        self.headers: dict[str, str] = {}
        self.answer: Any = {
            "suggestedWindow": {
                "start": (NOW + timedelta(days=1)).isoformat().replace("+00:00", "Z"),
                "end": (NOW + timedelta(days=3)).isoformat(),
            },
            "explanationURL": "https://a.example/why",
        }
        self.stub.window = self._window

    def _window(self, name: str) -> tuple[int, Any, dict[str, str]]:
        return (200, self.answer, self.headers) if name == certificate_id(self.pem) else (404, {}, {})

    def _ask(self) -> Window:
        return ask_window(self.stub.directory, str(self.stub.ca), self.pem, "ff", T0)

    def test_asked(self) -> None:
        """The window, why, and when to ask again."""
        self.headers = {"Retry-After": "7200"}
        day = 86400.0
        self.assertEqual(self._ask(), Window("ff", T0 + day, T0 + 3 * day, T0 + 7200, "https://a.example/why"))
        for header, wait in [("1", 60.0), ("9999999", day), ("soon", UNASKED), ("", UNASKED)]:
            self.headers = {"Retry-After": header}
            self.assertEqual(self._ask().again, T0 + wait)

    def test_not_offered(self) -> None:
        """An authority that suggests nothing is asked whether it does the next day."""
        self.stub.suggests = False
        self.assertEqual(self._ask(), Window("ff", again=T0 + NOT_OFFERED))

    def test_refused(self) -> None:
        """What is no suggestion is none."""
        answer = self.answer
        window = answer["suggestedWindow"]
        for wrong in (
            [],
            {},
            {"suggestedWindow": None},
            {"suggestedWindow": {"start": window["end"], "end": window["start"]}},
            {"suggestedWindow": {"start": "now", "end": "then"}},
            {"suggestedWindow": {"start": "2026-01-01T00:00:00", "end": "2026-02-01T00:00:00"}},
        ):
            self.answer = wrong
            with self.assertRaises(OrderError, msg=wrong):
                self._ask()
        self.answer = answer
        self.stub.refuse = lambda what: (500, "serverInternal", {}) if what == "renewal" else None
        with self.assertRaises(OrderError):
            self._ask()

    def test_name(self) -> None:
        """What a certificate is called: the example of RFC 9773 section 4.1."""
        key = x509.AuthorityKeyIdentifier(bytes.fromhex("69885b6b87464041e1b37b847ba0ae2cde01c8d4"), None, None)
        ca = Authority("CA")
        named = ca.issued.certificate.subject
        builder = unsigned(named, named, ca.issued.private.public_key(), 1).add_extension(key, False)
        builder._serial_number = 0x87654321
        issued = builder.sign(ca.issued.private, hashes.SHA256())
        self.assertEqual(certificate_id(issued.public_bytes(Encoding.PEM)), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE")
        self.assertEqual(certificate_id(ca.issue("a.example").cert), "")
