"""Tests for :mod:`balancer.service.ordering`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from balancer.acme.attempt import AUTHORITY
from balancer.acme.faults import OrderError
from balancer.acme.schedule import FIRST_WAIT, Attempts, Window
from balancer.acme.storage import Storage
from balancer.acme.wanted import Wanted
from balancer.config.acme import Acme
from balancer.net.timers import Wheel
from balancer.service.ordering import EVERY, Ordering
from balancer.tls.validity import moment
from tests.tls.authority import NOW, Authority

CA = Authority("CA")
T0 = NOW.timestamp()
DAY = 86400.0


class OrderingTests(SynchronousTestCase):
    """What is due is ordered."""

    def setUp(self) -> None:
        self.at = Path(self.mktemp()).absolute()
        self.clock = Clock()
        self.asked: list[str] = []
        self.answer: Callable[[Wanted], bytes] = lambda wanted: (
            CA.issue(*wanted.names).key + CA.issue(*wanted.names).cert
        )
        self.held: list[tuple[Callable[[], Any], Deferred[Any]]] | None = None
        self.lines: list[str] = []
        self.later = 0.0
        self.questions = 0
        self.window: Callable[[str, float], Window] = lambda fingerprint, now: Window(fingerprint, again=now + DAY)
        self.presents = False
        self.changes = 0
        globalLogPublisher.addObserver(self._log)
        self.addCleanup(globalLogPublisher.removeObserver, self._log)
        self.ordering = self._ordering()

    def _log(self, event: Any) -> None:
        if event.get("log_namespace", "").startswith("balancer"):
            self.lines.append(event["log_format"].format(**event))

    def _ordering(self) -> Ordering:
        wall = lambda: T0 + self.later + self.clock.seconds()  # noqa: E731
        call = lambda function, *arguments: function(*arguments)  # noqa: E731
        ordering = Ordering(Wheel(self.clock), self._in_thread, call, lambda: 0.0, wall, self._converse, self._ask)
        ordering.changed = self._changed
        return ordering

    def _changed(self) -> None:
        self.changes += 1

    def _in_thread(self, call: Callable[[], Any]) -> Deferred[Any]:
        if self.held is None:
            return execute(call)
        waiting: Deferred[Any] = Deferred()
        self.held.append((call, waiting))
        return waiting

    def _converse(
        self, wanted: Wanted, storage: Storage, present: Callable[[str, str, bool], None], replaces: str
    ) -> bytes:
        self.asked.append(wanted.label)
        self.kept = storage.attempts()
        if self.presents:
            present("token", "proof", True)
            self.seen = dict(self.ordering.proofs)
            present("token", "proof", False)
        return self.answer(wanted)

    def _ask(self, directory: str, ca: str | None, pem: bytes, fingerprint: str, now: float) -> Window:
        self.questions += 1
        return self.window(fingerprint, now)

    def _wanted(self, *names: str, directory: str = "https://ca.example/", **more: Any) -> list[Wanted]:
        acme = Acme(directory=directory, storage=str(self.at), agree_terms=True, **more)
        return [Wanted((name,), acme) for name in names]

    def _pass(self, seconds: float) -> None:
        self.clock.pump([0.5] * int(2 * seconds + 2))

    def _fail(self, text: str, **how: Any) -> Callable[[Wanted], bytes]:
        def fail(_: Wanted) -> bytes:
            raise OrderError(text, **how)

        return fail

    def _states(self) -> dict[str, str]:
        return {each["name"]: each["state"] for each in self.ordering.report()}

    def test_ordered(self) -> None:
        """What is not there is ordered, one after the other; then all is quiet until the time has come to renew."""
        self.ordering.use(self._wanted("a.example", "b.example"))
        self.assertEqual(self._states(), {"a.example": "due", "b.example": "due"})
        self._pass(2 * EVERY)
        self.assertEqual((self.asked, self.changes), (["a.example", "b.example"], 2))
        self.assertEqual(self._states(), {"a.example": "good", "b.example": "good"})
        self.assertIn("certificate for a.example: ordering at https://ca.example/", self.lines)
        self.later += 50 * DAY
        self._pass(2 * EVERY)
        self.assertEqual(len(self.asked), 2)
        self.later += 10 * DAY
        self.answer = lambda wanted: CA.issue(*wanted.names, days=150, age=-60).cert
        self._pass(2 * EVERY)
        self.assertEqual(sorted(self.asked[2:]), ["a.example", "b.example"])
        self.assertIn("certificate for a.example: renewing at https://ca.example/", self.lines)

    def test_restart(self) -> None:
        """What is there is found again; so is what failed."""
        self.ordering.use(self._wanted("a.example"))
        self._pass(EVERY)
        self.answer = self._fail("no", alone=True)
        self.ordering.use(self._wanted("a.example", "b.example"))
        self._pass(EVERY)
        self.assertEqual(self.asked, ["a.example", "b.example"])
        self.ordering.stop()
        self.ordering = self._ordering()
        self.ordering.use(self._wanted("a.example", "b.example"))
        self._pass(EVERY)
        self.assertEqual(self.asked, ["a.example", "b.example"])
        self.assertEqual(self._states(), {"a.example": "good", "b.example": "waiting"})

    def test_one_name(self) -> None:
        """What is wrong with one name is tried again later and later, and is in nobody's way."""
        self.answer = lambda wanted: (
            self._fail("not found", alone=True)(wanted) if wanted.label == "a.example" else CA.issue(*wanted.names).cert
        )
        self.ordering.use(self._wanted("a.example", "b.example"))
        self._pass(3 * EVERY)
        self.assertEqual(self.asked, ["a.example", "b.example"])
        self.assertIn(
            "certificate for a.example: not found; next attempt in 2m; there is none, and clients are shown something else",
            self.lines,
        )
        self._pass(FIRST_WAIT)
        self._pass(2 * FIRST_WAIT)
        self.assertEqual(self.asked, ["a.example", "b.example", "a.example"])
        (report,) = [each for each in self.ordering.report() if each["name"] == "a.example"]
        self.assertEqual((report["state"], report["failures"], report["error"]), ("waiting", 2, "not found"))

    def test_authority(self) -> None:
        """Where the authority cannot be reached, none of its names is tried before it is time; another's are."""
        failing = self._fail("nobody there")
        self.answer = lambda wanted: (
            CA.issue(*wanted.names).cert if "other" in wanted.acme.directory else failing(wanted)
        )
        self.ordering.use(
            [
                *self._wanted("a.example", "b.example", "c.example"),
                *self._wanted("d.example", directory="https://other.example/"),
            ]
        )
        self._pass(FIRST_WAIT - EVERY)
        self.assertEqual(self.asked, ["a.example", "d.example"])
        self._pass(2 * EVERY)
        self.assertEqual(self.asked, ["a.example", "d.example", "b.example"])
        self.assertEqual(Storage(str(self.at), "https://ca.example/").attempts()[AUTHORITY].failures, 2)

    def test_noted_before(self) -> None:
        """An attempt is noted before it begins: a process that dies in it does not begin with the next one."""
        self.ordering.use(self._wanted("a.example"))
        self._pass(EVERY)
        self.assertEqual(self.kept["a.example"].failures, 1)
        self.assertTrue(self.kept["a.example"].waits(T0 + FIRST_WAIT))

    def test_no_certificate(self) -> None:
        """What is sent and is no certificate replaces nothing."""
        self.answer = lambda _: b"nonsense"
        self.ordering.use(self._wanted("a.example"))
        self._pass(EVERY)
        self.assertIn("what the authority sent is no certificate", self.lines[-1])
        self.assertFalse(Path(self._wanted("a.example")[0].path).exists())

    def test_mended(self) -> None:
        """A reload with other settings tries again at once; one with the same does not."""
        self.answer = self._fail("no such account")
        self.ordering.use(self._wanted("a.example"))
        self._pass(EVERY)
        self.ordering.use(self._wanted("a.example"))
        self._pass(EVERY)
        self.assertEqual(len(self.asked), 1)
        self.ordering.use(self._wanted("a.example", email="a@a.example"))
        self._pass(EVERY)
        self.assertEqual(len(self.asked), 2)

    def test_another_process(self) -> None:
        """While another process orders, nothing is done; what it got is used."""
        storage = Storage(str(self.at), "https://ca.example/")
        storage.prepare()
        self.ordering.use(self._wanted("a.example"))
        with storage.lock():
            self._pass(EVERY)
            storage.write("a.example.pem", CA.issue("a.example").cert)
        self._pass(7 * EVERY)
        self.assertEqual((self.asked, self._states()), ([], {"a.example": "good"}))

    def test_storage(self) -> None:
        """A storage that cannot be used is told of, and asked about less and less."""
        self.at.write_text("a file")
        self.ordering.use(self._wanted("a.example"))
        self._pass(FIRST_WAIT + 2 * EVERY)
        told = [line for line in self.lines if "cannot be made" in line]
        self.assertEqual([line.partition("next attempt in ")[2].partition(";")[0] for line in told], ["2m", "6m"])
        self.assertEqual(self.asked, [])

    def test_not_ready(self) -> None:
        """Before listeners answer, authorities are not asked to look at them."""
        self.ordering.is_ready = lambda: False
        self.ordering.use(self._wanted("a.example"))
        self._pass(2 * EVERY)
        self.assertEqual(self.asked, [])
        self.ordering.is_ready = lambda: True
        self._pass(2)
        self.assertEqual(self.asked, ["a.example"])

    def test_proofs(self) -> None:
        """The proof is there, for everybody, while the authority looks, and no longer."""
        self.presents = True
        told: list[dict[str, str]] = []
        self.ordering.tell = lambda: told.append(dict(self.ordering.proofs))
        self.ordering.use(self._wanted("a.example"))
        self._pass(EVERY)
        self.assertEqual((self.seen, told, self.ordering.proofs), ({"token": "proof"}, [{"token": "proof"}, {}], {}))

    def test_reload_meanwhile(self) -> None:
        """What comes of an order counts, though the configuration was read again while it was under way; there is never a second."""
        self.held = []
        self.ordering.use(self._wanted("a.example"))
        self._pass(EVERY)
        self.ordering.use(self._wanted("a.example"))
        self._pass(EVERY)
        ((call, waiting),) = self.held
        waiting.callback(call())
        self.assertEqual(self._states(), {"a.example": "good"})

    def test_stopped(self) -> None:
        """After the end nothing is begun."""
        self.ordering.use(self._wanted("a.example"))
        self.ordering.stop()
        self._pass(EVERY)
        self.ordering.use(self._wanted("a.example"))
        self._pass(EVERY)
        self.assertEqual((self.asked, self.clock.getDelayedCalls()), ([], []))

    def test_fault(self) -> None:
        """A fault of ours is logged with its traceback, and waits like any other."""

        def fault(_: Wanted) -> bytes:
            raise ZeroDivisionError("ours")

        self.answer = fault
        self.ordering.use(self._wanted("a.example"))
        self._pass(3 * EVERY)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((self.asked, self._states()), (["a.example"], {"a.example": "waiting"}))

    def test_suggested(self) -> None:
        """The authority is asked when it would have a certificate renewed: when it says so again, not before; that counts."""
        self.window = lambda fingerprint, now: Window(
            fingerprint, T0 + 10 * DAY, T0 + 12 * DAY, now + DAY, "https://w/"
        )
        self.ordering.use(self._wanted("a.example"))
        self._pass(3 * EVERY)
        self.assertEqual((self.questions, len(self.asked)), (1, 1))
        (report,) = self.ordering.report()
        self.assertTrue(report["suggested"])
        self.assertTrue(moment(T0 + 10 * DAY) <= report["renewal"] <= moment(T0 + 12 * DAY), report)
        (line,) = [each for each in self.lines if "suggests" in each]
        self.assertIn("(https://w/): it will be from ", line)
        self.ordering.stop()
        self.ordering = self._ordering()  # a restart asks no more than before
        self.ordering.use(self._wanted("a.example"))
        self._pass(3 * EVERY)
        self.assertEqual(self.questions, 1)
        self.later += 1.1 * DAY
        self.window = lambda fingerprint, now: Window(fingerprint, T0, T0 + 1, now + DAY)  # it is about to be revoked
        self.answer = lambda wanted: CA.issue(*wanted.names, number=3).cert
        self._pass(3 * EVERY)
        self.assertEqual((self.questions, len(self.asked)), (3, 2))

    def test_no_suggestion(self) -> None:
        """Where the authority does not answer the rule counts, and it is left alone for a while; a restart does not change that."""

        def silent(_fingerprint: str, _now: float) -> Window:
            raise OrderError("nobody there")

        self.window = silent
        self.ordering.use(self._wanted("a.example"))
        self._pass(3 * EVERY)
        self.ordering.stop()
        self.ordering = self._ordering()
        self.ordering.use(self._wanted("a.example"))
        self._pass(3 * EVERY)
        self.assertEqual((self.questions, self._states()), (1, {"a.example": "good"}))
        self.assertIn("certificate for a.example: the authority was asked when to renew it: nobody there", self.lines)
        self.assertFalse(self.ordering.report()[0]["suggested"])

    def test_question_not_kept(self) -> None:
        """An answer that cannot be kept is told of, and asked for again an hour later."""
        self.ordering.use(self._wanted("a.example"))
        self._pass(0.5)
        folder = Storage(str(self.at), "https://ca.example/").folder
        (folder / "renewal.json").mkdir()
        (folder / "renewal.json" / "x").touch()
        self._pass(3 * EVERY)
        self.assertEqual(len([each for each in self.lines if "renewal.json" in each]), 1)

    def test_taken_over(self) -> None:
        """What another process with the same storage proves is shown too, by each kind, as long as it is."""
        storage = Storage(str(self.at), "https://ca.example/")
        storage.prepare()
        storage.note_proofs({"token": "proof"}, {"b.example": "its"}, T0)
        told: list[int] = []
        self.ordering.tell = lambda: told.append(len(self.ordering.proofs))
        self.held = []
        self.ordering.use(self._wanted("a.example"))
        self.assertEqual(self.ordering.proofs, {"token": "proof"})
        self.assertEqual(self.ordering.proofs_of_names, {"b.example": "its"})
        storage.note_proofs({}, {}, T0)
        self._pass(EVERY)
        self.assertEqual((self.ordering.proofs, self.ordering.proofs_of_names, told), ({}, {}, [1, 0]))
        storage.note_proofs({"token": "proof"}, {}, T0 - 700)  # left behind by a process that died
        self._pass(EVERY)
        self.assertEqual(self.ordering.proofs, {})

    def test_tls_alpn(self) -> None:
        """Proofs for tls-alpn-01 are shown by name."""
        self.presents = True
        told: list[dict[str, str]] = []
        self.ordering.tell = lambda: told.append(dict(self.ordering.proofs_of_names))
        self.ordering.use(self._wanted("a.example", challenge="tls-alpn-01"))
        self._pass(EVERY)
        self.assertEqual((told, self.ordering.proofs), ([{"token": "proof"}, {}], {}))

    def test_gone(self) -> None:
        """A name that is taken from the configuration while it is ordered is not ordered again, and is in nobody's way."""
        self.held = []
        self.ordering.use(self._wanted("a.example", "b.example"))
        self._pass(EVERY)
        ((call, waiting),) = self.held
        self.held = None
        self.ordering.use(self._wanted("b.example"))
        self._pass(EVERY)
        self.assertEqual(self.asked, [])
        waiting.callback(call())
        self._pass(EVERY)
        self.assertEqual((self.asked, self._states()), (["a.example", "b.example"], {"b.example": "good"}))

    def test_metrics(self) -> None:
        """When it last went well, and how often not, restarts included."""
        Storage(str(self.at), "https://ca.example/").prepare()
        Storage(str(self.at), "https://ca.example/").note("a.example", Attempts(2, 5, 0.0, 7.0, "no"))
        self.ordering.use(self._wanted("a.example"))
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collected(self.ordering))
        text = generate_latest(registry).decode()
        for line in (
            'balancer_acme_last_success_timestamp_seconds{name="a.example"} 7.0',
            'balancer_acme_renewal_timestamp_seconds{name="a.example"} 0.0',
            'balancer_acme_failures_total{name="a.example"} 5.0',
            'balancer_acme_failures_in_a_row{name="a.example"} 2.0',
        ):
            self.assertIn(line, text)


class _Collected:
    def __init__(self, ordering: Ordering) -> None:
        self._ordering = ordering

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Any:
        return self._ordering.metrics()
