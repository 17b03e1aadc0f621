"""What workers say of themselves, as one answer: the status of all listeners and servers, the accounts of all plug-ins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from balancer.pools.server import STATES

__all__ = ["merged_plugins", "merged_status"]

_LISTENER_SUMS = ("connections", "refused")
_SERVER_SUMS = ("active", "idle", "http1_connections", "h2_connections", "streams", "requests", "failures")
_ACCOUNT_SUMS = ("calls", "errors", "overruns", "seconds", "skipped")
_CHECK_SUMS = ("hits", "timeouts")


def merged_status(outline: dict[str, Any], parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Add the numbers of ``parts``, the status of each worker, to ``outline``, the master's own."""
    overload = outline["overload"]
    for part in parts:
        theirs = part["overload"]
        for key in ("lag", "share"):
            overload[key] = max(overload[key], theirs[key])
        for listener, count in theirs["turned_away"].items():
            overload["turned_away"][listener] = overload["turned_away"].get(listener, 0) + count
        listeners = {listener["name"]: listener for listener in part["listeners"]}
        for listener in outline["listeners"]:
            its = listeners.get(listener["name"], {})
            _add(listener, its, _LISTENER_SUMS)
            _unite(listener, its)
        pools = {pool["name"]: pool for pool in part["pools"]}
        for pool in outline["pools"]:
            its = pools.get(pool["name"], {})
            _unite(pool, its)
            pool["barred"] = pool.get("barred") or its.get("barred", "")
            pool["findings"] += its.get("findings", ())
            servers = {server["name"]: server for server in its.get("servers", ())}
            for server in pool["servers"]:
                theirs = servers.get(server["name"])
                if theirs is None:
                    continue
                _add(server, theirs, _SERVER_SUMS)
                if STATES.index(theirs["state"]) < STATES.index(server["state"]):
                    server["state"], server["reason"] = theirs["state"], theirs["reason"]
    return outline


def _add(mine: dict[str, Any], theirs: dict[str, Any], keys: Iterable[str]) -> None:
    for key in keys:
        mine[key] += theirs.get(key, 0)


def _unite(mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Add which files are broken in the eyes of a worker: it may have been started, and have looked, since the master last did."""
    if "broken_files" in mine:
        mine["broken_files"] = list(dict.fromkeys([*mine["broken_files"], *theirs.get("broken_files", ())]))


def merged_plugins(own: dict[str, Any], parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Add the accounts of ``parts``, what each worker says of its plug-ins, to the master's own."""
    accounts = {_whose(account): account for account in own["accounts"]}
    for part in parts:
        for theirs in part["accounts"]:
            mine = accounts.get(_whose(theirs))
            if mine is None:
                accounts[_whose(theirs)] = theirs
                continue
            _add(mine, theirs, _ACCOUNT_SUMS)
            _add(mine, theirs, [key for key in _CHECK_SUMS if key in mine])
            mine["tripped"] = mine["tripped"] or theirs["tripped"]
            mine["last_error"] = theirs["last_error"] or mine["last_error"]
    return {"packages": own["packages"], "accounts": list(accounts.values())}


def _whose(account: dict[str, Any]) -> tuple[str, str, str]:
    return account["package"], account["kind"], account["name"]
