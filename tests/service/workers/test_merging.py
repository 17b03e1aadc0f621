"""What workers say of themselves, as one answer."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from balancer.service.workers.merging import merged_plugins, merged_status


def _status(connections: int, state: str = "up", reason: str = "", name: str = "s") -> dict[str, Any]:
    server = {"name": name, "state": state, "reason": reason, "active": 1, "idle": 2, "requests": 3, "failures": 4}
    server |= {"http1_connections": 5, "h2_connections": 6, "streams": 7}
    return {
        "overload": {"lag": connections / 10, "limit": 0.25, "share": 0.0, "turned_away": {"web": 1}},
        "listeners": [{"name": "web", "connections": connections, "refused": 1}],
        "pools": [{"name": "web", "servers": [server], "findings": []}],
    }


class StatusTests(TestCase):
    def test_sums(self) -> None:
        """Numbers are summed; a server is in the worst state that a worker has it in, with its reason."""
        own = _status(0)
        own["pools"][0]["servers"][0] |= {"active": 0, "idle": 0, "requests": 0, "failures": 0}
        merged = merged_status(own, [_status(2), _status(3, "ejected", "failed 5 in a row")])
        self.assertEqual(merged["listeners"], [{"name": "web", "connections": 5, "refused": 3}])
        self.assertEqual((merged["overload"]["lag"], merged["overload"]["turned_away"]), (0.3, {"web": 3}))
        server = merged["pools"][0]["servers"][0]
        self.assertEqual([server[key] for key in ("active", "idle", "requests", "failures")], [2, 4, 6, 8])
        self.assertEqual([server[key] for key in ("http1_connections", "h2_connections", "streams")], [15, 18, 21])
        self.assertEqual((server["state"], server["reason"]), ("ejected", "failed 5 in a row"))

    def test_findings(self) -> None:
        """What each worker has found out is listed, one after another; a disabled server is disabled, whatever else it is."""
        parts = [_status(1, "disabled", "by hand"), _status(1, "ejected", "failed 5 in a row")]
        for name, part in zip("ab", parts, strict=True):
            part["pools"][0]["findings"] = [{"worker": name}]
        merged = merged_status(_status(0), parts)
        self.assertEqual(merged["pools"][0]["findings"], [{"worker": "a"}, {"worker": "b"}])
        server = merged["pools"][0]["servers"][0]
        self.assertEqual((server["state"], server["reason"]), ("disabled", "by hand"))

    def test_broken_files(self) -> None:
        """A file that is broken in anybody's eyes is named, once."""
        parts = [_status(1) for _ in range(3)]
        for part, files in zip(parts, (["a"], ["a", "b"], ["b"]), strict=True):
            part["listeners"][0]["broken_files"] = part["pools"][0]["broken_files"] = files
        merged = merged_status(parts[0], parts[1:])
        self.assertEqual(merged["listeners"][0]["broken_files"], ["a", "b"])
        self.assertEqual(merged["pools"][0]["broken_files"], ["a", "b"])

    def test_differences(self) -> None:
        """A worker that has another configuration, for a moment, does no harm."""
        merged = merged_status(_status(1), [_status(1, name="other"), {**_status(0), "listeners": [], "pools": []}])
        self.assertEqual(merged["listeners"][0]["connections"], 2)
        self.assertEqual(merged["pools"][0]["servers"][0]["requests"], 3)


class PluginsTests(TestCase):
    def test_accounts(self) -> None:
        """Calls are summed; an object is switched off if it is in any worker."""

        def account(calls: int, tripped: bool = False, error: str = "", name: str = "a") -> dict[str, Any]:
            counts = dict.fromkeys(("calls", "errors", "overruns", "seconds", "skipped"), calls)
            return {"package": "p", "kind": "filters", "name": name, "tripped": tripped, "last_error": error, **counts}

        parts = [
            {"accounts": [account(1), account(5, name="b")]},
            {"accounts": [account(2, True, "ValueError: x")]},
        ]
        merged = merged_plugins({"packages": ["p"], "accounts": [account(1)]}, parts)
        self.assertEqual(merged["packages"], ["p"])
        self.assertEqual([each["name"] for each in merged["accounts"]], ["a", "b"])
        first = merged["accounts"][0]
        self.assertEqual((first["calls"], first["tripped"], first["last_error"]), (4, True, "ValueError: x"))
