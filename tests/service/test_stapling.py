"""Tests for :mod:`balancer.service.stapling`."""

from __future__ import annotations

from typing import Any

from cryptography.x509.ocsp import OCSPCertStatus
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from balancer.net.timers import Wheel
from balancer.service.stapling import AT_ONCE, FIRST_WAIT, LONGEST_WAIT, SOONEST, Stapler
from balancer.tls.identity import Identity
from balancer.tls.reading import identity_of
from tests.tls.authority import NOW, Authority, Issued
from tests.tls.responder import answer

CA = Authority("CA")
URL = "http://ocsp.example/"
SHOP = CA.issue("shop.example", ocsp=URL)
HOUR = 3600.0
T0 = NOW.timestamp()


def _identity(issued: Issued) -> Identity:
    return identity_of("shop.pem", [issued.cert, CA.issued.cert], issued.key)


class StaplerTests(SynchronousTestCase):
    """Asking authorities, with a clock and answers of our own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[tuple[str, Deferred[bytes]]] = []
        self.cancelled = 0
        self.told: list[dict[str, bytes]] = []
        self.stapler = Stapler(
            Wheel(self.clock), self._post, self.told.append, lambda: T0 + self.clock.seconds(), lambda: 0.0
        )
        self.shop = _identity(SHOP)
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self._log)
        self.addCleanup(globalLogPublisher.removeObserver, self._log)

    def _log(self, event: Any) -> None:
        if event["log_level"] >= LogLevel.info and event.get("log_namespace", "").startswith("balancer"):
            self.lines.append(event["log_format"].format(**event))

    def _post(self, url: str, body: bytes) -> Deferred[bytes]:
        def cancelled(_: object) -> None:
            self.cancelled += 1

        asked: Deferred[bytes] = Deferred(cancelled)
        self.asked.append((url, asked))
        return asked

    def _pass(self, seconds: float) -> None:
        self.clock.pump([1.0] * int(seconds))

    def _began(self) -> Deferred[bytes]:
        self.stapler.use([self.shop])
        self._pass(2)
        ((_, asked),) = self.asked
        self.asked.clear()
        return asked

    def test_inherited(self) -> None:
        """What another process has been told is believed without asking, and asked for again when it is time; what is of no use is not."""
        data = answer(CA, SHOP)
        self.stapler.inherit({self.shop.fingerprint: data, "another": b"x"})
        self.stapler.use([self.shop])
        self.assertEqual(self.told, [{self.shop.fingerprint: data}])
        self._pass(60)
        self.assertEqual(self.asked, [])
        self._pass(12 * HOUR)
        self.assertEqual(len(self.asked), 1)
        for useless in (b"broken", answer(CA, SHOP, since=-30.0), answer(CA, SHOP, OCSPCertStatus.REVOKED)):
            self.setUp()
            self.stapler.inherit({self.shop.fingerprint: useless})
            self.stapler.use([self.shop])
            self._pass(2)
            self.assertEqual((len(self.asked), self.told), (1, []))

    def test_answered(self) -> None:
        """An answer is stapled, and asked for again when half of its time is over."""
        good = answer(CA, SHOP)
        self._began().callback(good)
        self.assertEqual(self.told, [{self.shop.fingerprint: good}])
        self.assertEqual(self.stapler.staples, self.told[0])
        self._pass(11 * HOUR - 10)
        self.assertEqual(self.asked, [])
        self._pass(20)
        ((url, asked),) = self.asked
        self.assertEqual(url, URL)
        asked.callback(good)
        self.assertEqual(len(self.told), 1)  # the same again is no news
        self.assertEqual(self.lines, [])
        self._pass(SOONEST - 5)
        self.assertEqual(len(self.asked), 1)  # nor asked for at once, though more than half of its time is over

    def test_no_answer(self) -> None:
        """Nobody there: asked again after a minute, two, four, up to an hour; told of once, and when it is over."""
        self._began().errback(ConnectionRefusedError())
        wait = FIRST_WAIT
        for _ in range(8):
            self._pass(wait - 5)
            self.assertEqual(self.asked, [])
            self._pass(10)
            ((_, asked),) = self.asked
            self.asked.clear()
            asked.errback(ConnectionRefusedError())
            wait = min(2 * wait, LONGEST_WAIT)
        self.assertEqual(len(self.lines), 1)
        self.assertTrue(self.lines[0].startswith(f"no OCSP answer about shop.pem from {URL}: ConnectionRefused"))
        self._pass(wait + 10)
        self.asked[0][1].callback(answer(CA, SHOP))
        self.assertEqual(self.lines[1:], ["the authority of shop.pem answers again"])
        self.assertEqual(len(self.told), 1)

    def test_not_believed(self) -> None:
        """What is not to be believed is told of, and the last good answer stays until it is out of date."""
        good = answer(CA, SHOP, hours=3)
        self._began().callback(good)
        for _ in range(30):
            self._pass(SOONEST)
            for _, asked in self.asked:
                asked.callback(answer(Authority("Other"), SHOP, about=CA))
            self.asked.clear()
        self.assertEqual(self.told, [{self.shop.fingerprint: good}, {}])
        self.assertIn("is not signed by the certificate's issuer", self.lines[0])
        self.assertEqual(self.lines[1:], ["the OCSP answer about shop.pem is out of date: it goes without"])

    def test_revoked(self) -> None:
        """A certificate that is revoked goes without an answer at once, and the log says so."""
        self._began().callback(answer(CA, SHOP, hours=3))
        self._pass(HOUR)
        self.asked[0][1].callback(answer(CA, SHOP, OCSPCertStatus.REVOKED))
        self.assertEqual(self.told[1:], [{}])
        self.assertIn("the certificate is revoked since", self.lines[-1])

    def test_reload(self) -> None:
        """What is wanted still keeps its answer, and what is not is asked about no more, nor listened to."""
        self._began().callback(answer(CA, SHOP))
        other = CA.issue("other.example", number=1, ocsp=URL)
        self.stapler.use([self.shop, _identity(other), self.shop, _identity(CA.issue("silent.example"))])
        self._pass(2)
        self.assertEqual(len(self.asked), 1)
        self.stapler.use([self.shop])
        self.assertEqual(self.cancelled, 1)
        self.assertEqual(list(self.stapler.staples), [self.shop.fingerprint])
        self.assertEqual(self.lines, [])
        self.stapler.use([])
        self.assertEqual(self.stapler.staples, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_all_at_once(self) -> None:
        """Of many certificates a few are asked about at a time."""
        many = [_identity(CA.issue(f"{number}.example", ocsp=URL)) for number in range(AT_ONCE + 3)]
        self.stapler.use(many)
        self._pass(2)
        self.assertEqual(len(self.asked), AT_ONCE)
        self.asked[0][1].errback(ConnectionRefusedError())
        self._pass(2)
        self.assertEqual(len(self.asked), AT_ONCE + 1)
        self.stapler.stop()
