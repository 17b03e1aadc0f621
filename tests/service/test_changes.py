"""What an operator changes of servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from balancer.errors import BalancerError
from balancer.service.changes import Change, change_server, checked, restore, restored
from tests.service.making import built_in

_TEXT = """\
listeners: {web: {bind: 127.0.0.1:8080, protocol: http, pool: web}}
pools:
  web: {servers: [{address: "127.0.0.1:1", name: one}, {address: "127.0.0.1:2", name: two}]}
  api: {servers: [%s]}
"""


class ChangeTests(TestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        many = ", ".join(f"'10.0.0.{number}:80'" for number in range(30))
        self.snapshot = built_in(folder, _TEXT % many)

    def change(self, wanted: Any, server: str = "one", pool: str = "web") -> Any:
        return change_server(self.snapshot, pool, server, Change.of(wanted))

    def refused(self, wanted: Any, server: str = "one", pool: str = "web") -> str:
        return str(self.assertRaises(BalancerError, self.change, wanted, server, pool))

    def test_each(self) -> None:
        """Weight, drain, disable, alone or together, and back; the answer is what it is now."""
        as_it_is = {"name": "one", "state": "up", "draining": False, "disabled": False, "weight": 1}
        self.assertEqual(self.change({"weight": 5}), as_it_is | {"weight": 5})
        self.assertEqual(self.change({"drain": True})["state"], "draining")
        both = self.change({"disable": True, "weight": 1})
        self.assertEqual(both, as_it_is | {"state": "disabled", "draining": True, "disabled": True})
        self.assertEqual(self.change({"disable": False, "drain": False}), as_it_is)

    def test_what_it_must_look_like(self) -> None:
        """Anything else changes nothing."""
        for wanted in (None, [], {}, {"force": True}, {"weight": None}, {"wieght": 1}):
            self.assertIn("expected {'weight': N}", self.refused(wanted))
        for weight in (True, "1", -1, 65536, 1.5):
            self.assertIn("from 0 to 65535", self.refused({"weight": weight}))
        for name in ("drain", "disable", "force"):
            self.assertIn(f"expected '{name}' to be true or false", self.refused({"weight": 1, name: 1}))

    def test_unknown(self) -> None:
        """Who mistypes a name is told those that there are; of very many the first, and what was probably meant."""
        self.assertEqual(
            self.refused({"weight": 1}, pool="wbe"), "there is no pool 'wbe'; did you mean 'web'? pools: web, api"
        )
        self.assertEqual(self.refused({"weight": 1}, "x"), "pool 'web' has no server 'x'; servers: one, two")
        words = self.refused({"weight": 1}, "10.0.0.99:80", "api")
        self.assertIn("10.0.0.19:80 and 10 more", words)
        self.assertIn("did you mean '10.0.0.9:80'?", words)
        self.assertIn("pools: none", str(self.assertRaises(BalancerError, checked, None, "web", None)))
        self.assertRaises(BalancerError, checked, self.snapshot, "web", "x")
        checked(self.snapshot, "web", "one")
        checked(self.snapshot, "web", None)

    def test_last(self) -> None:
        """The last server that can be used is disabled only by force; the answer warns."""
        self.change({"disable": True})
        self.assertIn("--force", self.refused({"disable": True}, "two"))
        self.assertEqual(self.snapshot.pools["web"].servers[1].state, "up")
        self.assertNotIn("warning", self.change({"disable": True}))  # it is no news
        now = self.change({"disable": True, "force": True}, "two")
        self.assertEqual((now["state"], now["warning"]), ("disabled", "no server of pool 'web' takes new clients now"))
        self.assertNotIn("warning", self.change({"disable": False}, "two"))

    def test_last_that_is_well(self) -> None:
        """Servers that are down do not count, and may always be disabled."""
        one, two = self.snapshot.pools["web"].servers
        one.healthy = False
        self.assertIn("last", self.refused({"disable": True}, "two"))
        self.assertEqual(self.change({"disable": True})["state"], "disabled")
        self.assertIn("last", self.refused({"disable": True}, "two"))

    def test_others_warn(self) -> None:
        """Drain and weight 0 are as they were, but warn."""
        self.change({"disable": True})
        self.assertIn("warning", self.change({"drain": True}, "two"))
        self.change({"drain": False}, "two")
        self.assertIn("warning", self.change({"weight": 0}, "two"))


class RestoreTests(TestCase):
    def test_by_name(self) -> None:
        """What is not there has nothing to restore, as in a worker with an older configuration."""
        folder = Path(self.mktemp())
        folder.mkdir()
        snapshot = built_in(folder, _TEXT % "'10.0.0.1:80'")
        pool = snapshot.pools["web"]
        for server in pool.servers:
            pool.outliers._eject(server, 0.0, "failed")
        self.assertEqual(restore(snapshot, "web", "two"), [["two", "ejection"]])
        self.assertEqual(restore(snapshot, "web", "three"), [])
        self.assertEqual(restore(snapshot, "gone", None), [])
        self.assertEqual(restore(None, "web", None), [])
        self.assertEqual(restore(snapshot, "web", None), [["one", "ejection"]])

    def test_told(self) -> None:
        """What was done, in how many of the workers, and who did not answer."""
        found = restored("web", "one", {"": [["one", "ejection"]]}, ())
        self.assertEqual(found["message"], "web: one: 1 ejection ended")
        self.assertEqual(found["restored"], [{"worker": "", "server": "one", "what": "ejection"}])
        self.assertNotIn("silent", found)
        by = {"worker 1": [["one", "ejection"], ["one", "breaker"]], "worker 2": [], "worker 3": [["two", "breaker"]]}
        found = restored("web", None, by, ["worker 4"])
        self.assertEqual(found["message"], "web: 1 ejection ended and 2 breakers closed in 2 of 4 workers")
        self.assertEqual((found["workers"], found["silent"]), (3, ["worker 4"]))
        self.assertEqual(restored("web", None, {"": []}, ())["message"], "web: nothing to restore")
        self.assertEqual(
            restored("web", None, {"a": [], "b": []}, ())["message"], "web: nothing to restore in 2 workers"
        )
