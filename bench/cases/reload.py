"""Reloads under load: requests go on at a fixed rate while the configuration is changed again and again."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from bench.cases.case import Case, Figures, Running

__all__ = ["CASE", "RELOADS"]

RELOADS = 50
_PAUSE = 0.1


def _reload(running: Running) -> Figures:
    running.warm()
    found: dict[str, float] = {}
    trouble: list[Exception] = []

    def ask() -> None:
        try:
            found.update(running.load.http(running.place.http, RELOADS * _PAUSE + 0.5, 64, rate=running.rate / 2))
        except Exception as error:
            trouble.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    began = time.monotonic()
    for number in range(1, RELOADS + 1):
        time.sleep(max(0.0, began + number * _PAUSE - time.monotonic()))
        running.peer.reload(running.pid, replace(running.place, version=number))
    asking.join()
    if trouble:
        raise trouble[0]
    return {
        "failed": found["failed"],
        "refused": found["refused"],
        "reopened": found["reopened"],
        "p50 ms": found["p50"],
        "p99 ms": found["p99"],
        "p99.9 ms": found["p99.9"],
        "max ms": found["max"],
        "PSS MB": running.memory() / 1e6,
    }


CASE = Case(f"http {RELOADS} reloads", _reload, ("failed", "p99 ms"), in_quick=True)
