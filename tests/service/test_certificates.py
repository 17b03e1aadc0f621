"""Tests for :mod:`balancer.service.certificates`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from balancer.config.tls import ListenerTls
from balancer.net.timers import Wheel
from balancer.service.certificates import EVERY, Certificates, certificate_report
from balancer.tls.shelf import Shelf
from tests.tls.authority import NOW, Authority

CA = Authority("CA")
SHOP = CA.issue("shop.example", days=20)
NEWER = CA.issue("shop.example", number=1)
OLD = CA.issue("old.example", days=-0.5)
T0 = NOW.timestamp()


class CertificatesTests(SynchronousTestCase):
    """Files are watched."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.cert, self.key = self.directory / "a.pem", self.directory / "a.key"
        SHOP.write(self.cert, self.key)
        self.clock = Clock()
        self.changed: list[str] = []
        self.held: list[tuple[Callable[[], Any], Deferred[Any]]] | None = None
        self.certificates = Certificates(Wheel(self.clock), self._in_thread, lambda: T0 + self.clock.seconds())
        self.certificates.changed = self.changed.append
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self._log)
        self.addCleanup(globalLogPublisher.removeObserver, self._log)

    def _log(self, event: Any) -> None:
        if event.get("log_namespace", "").startswith("balancer"):
            self.lines.append(event["log_format"].format(**event).replace(str(self.directory), "DIR"))

    def _in_thread(self, call: Callable[[], Any]) -> Deferred[Any]:
        if self.held is None:
            return execute(call)
        waiting: Deferred[Any] = Deferred()
        self.held.append((call, waiting))
        return waiting

    def _shelf(self) -> Shelf:
        settings = ListenerTls.model_validate({"certificates": str(self.directory)})
        shelf = self.certificates.shelf(settings, str(self.directory))
        self.assertEqual(shelf.fill(), [])
        return shelf

    def _pass(self, seconds: float = EVERY) -> None:
        self.clock.pump([0.5] * int(2 * seconds + 2))

    def test_replaced(self) -> None:
        """New files are shown after the next look; the listener is told of it, and the log."""
        shelf = self._shelf()
        self.certificates.use({"web": shelf})
        self._pass()
        self.assertEqual(self.changed, [])
        NEWER.write(self.cert, self.key)
        self._pass()
        self.assertEqual(self.changed, ["web"])
        self.assertEqual(shelf.choice.of("")[0].serial, f"{NEWER.certificate.serial_number:x}")
        self.assertEqual(len(self.lines), 1)
        self.assertTrue(self.lines[0].startswith("listener web: the certificate a.pem is replaced: ecdsa for shop"))

    def test_broken(self) -> None:
        """A broken file is told of once, and nothing changes."""
        self.certificates.use({"web": self._shelf()})
        self.key.chmod(0o644)
        self._pass(3 * EVERY)
        self.assertEqual(self.changed, [])
        self.assertEqual(len(self.lines), 1)
        self.assertIn("the key DIR/a.key has the mode 0644", self.lines[0])
        self.assertTrue(self.lines[0].endswith("; what was there stays"))

    def test_silent(self) -> None:
        """Of several processes one tells."""
        self.certificates.tells = False
        OLD.write(self.directory / "old.pem")
        self.certificates.use({"web": self._shelf()})
        NEWER.write(self.cert, self.key)
        self._pass()
        self.assertEqual((self.changed, self.lines), (["web"], []))

    def test_expired(self) -> None:
        """What has expired is served, and told of when it is taken into use."""
        OLD.write(self.directory / "old.pem")
        self.certificates.use({"web": self._shelf()})
        self.assertEqual(len(self.lines), 1)
        self.assertTrue(self.lines[0].startswith("the certificate old.pem of listener web expired on"))

    def test_reload_in_between(self) -> None:
        """What a look found out about a configuration that is not in force any more is of no use."""
        old = self._shelf()
        self.certificates.use({"web": old})
        self.held = []
        self._pass(3 * EVERY)
        ((look, waiting),) = self.held  # one at a time
        self.held = None
        NEWER.write(self.cert, self.key)
        new = self._shelf()
        self.certificates.use({"web": new})
        waiting.callback(look())
        self.assertEqual(self.changed, [])
        self._pass()
        self.assertEqual(new.choice.of("")[0].serial, f"{NEWER.certificate.serial_number:x}")

    def test_staples(self) -> None:
        """Answers of authorities are shown with their certificates, now and after a change of files."""
        shelf = self._shelf()
        self.certificates.use({"web": shelf})
        (shop,) = shelf.choice.identities
        self.certificates.staple({shop.fingerprint: b"good"})
        self.assertEqual(self.changed, ["web"])
        self.assertTrue(certificate_report(shelf, T0)[0]["stapled"])
        self.certificates.staple({shop.fingerprint: b"good"})
        self.assertEqual(self.changed, ["web"])

    def test_nothing_to_watch(self) -> None:
        """Without TLS nothing is scheduled; nor after a reload that ends it."""
        self.certificates.use({"web": self._shelf()})
        self.certificates.use({})
        self._pass()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_report(self) -> None:
        """What operators are told of a certificate."""
        (found,) = certificate_report(self._shelf(), T0)
        self.assertEqual(
            {key: found[key] for key in ("name", "names", "kind", "days", "wrong", "stapled")},
            {"name": "a.pem", "names": ["shop.example"], "kind": "ecdsa", "days": 20, "wrong": "", "stapled": False},
        )
