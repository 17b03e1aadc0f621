"""Tests for :mod:`balancer.service.workers.preparing`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from balancer.errors import BalancerError
from balancer.service.workers.holdings import Next
from balancer.service.workers.preparing import prepare
from balancer.service.workers.protocol import Prepare
from balancer.tls.kept import Kept
from tests.service.making import built_in
from tests.tls.authority import Authority

CA = Authority("CA")
SHOP = CA.issue("shop.example")
TEXT = (
    "listeners: {web: {bind: '*:1', pool: app, tls: {certificates: shop.pem}}}\n"
    "pools: {app: {servers: ['127.0.0.1:1'], tls: {ca: ca.pem}}}\n"
)


class _Remote:
    """The far end of a conversation: refuses as often as it is told to."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.heard: list[dict[str, Any]] = []

    def call(self, command: Any, limit: float, **arguments: Any) -> Deferred[Any]:
        assert command is Prepare
        assert limit > 0
        self.heard.append(arguments)
        return fail(BalancerError("broken")) if len(self.heard) <= self.refusals else succeed({})


class PrepareTests(SynchronousTestCase):
    """What a worker is given to build a configuration."""

    def setUp(self) -> None:
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        (directory / "ca.pem").write_bytes(CA.issued.cert)
        snapshot = built_in(directory, TEXT, shop=SHOP)
        self.next = Next(snapshot.config, snapshot, {"data": {}}, {"a": 1})

    def _prepare(self, remote: _Remote) -> Deferred[None]:
        sockets = [{"descriptor": 5}]
        return Deferred.fromCoroutine(prepare(remote, self.next, sockets))  # type: ignore[arg-type]

    def test_at_once(self) -> None:
        """A worker that can read its files is sent nobody's keys."""
        remote = _Remote(0)
        self.successResultOf(self._prepare(remote))
        (heard,) = remote.heard
        self.assertEqual(heard.pop("kept"), {"certificates": [], "authorities": []})
        self.assertEqual(heard, {"found": {"data": {}}, "columns": {"a": 1}, "sockets": [{"descriptor": 5}]})

    def test_broken(self) -> None:
        """One that cannot is sent all, of listeners and pools, and its sockets once more."""
        remote = _Remote(1)
        self.successResultOf(self._prepare(remote))
        _, heard = remote.heard
        kept = Kept.from_plain(heard["kept"])
        ((_, identity),) = next(iter(kept.certificates.values()))
        self.assertEqual(identity.serial, f"{SHOP.certificate.serial_number:x}")
        self.assertEqual([each.certificates for each in kept.authorities.values()], [(CA.issued.cert,)])
        self.assertEqual(heard["sockets"], [{"descriptor": 5}])

    def test_cannot(self) -> None:
        """One that cannot all the same says why."""
        remote = _Remote(2)
        self.assertEqual(str(self.failureResultOf(self._prepare(remote), BalancerError).value), "broken")
        self.assertEqual(len(remote.heard), 2)
