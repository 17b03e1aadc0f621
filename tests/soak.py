"""``make soak``: a balancer under load of every kind, reloaded again and again, its servers stopped and killed.

    make soak ARGS="--minutes 60 --clients 8"

Prints once a minute what was done and how much memory the balancer takes; ends with 1 if anything failed: a request, a
connection that was dropped, a reload, or memory that grows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.live.soaking import Soak  # noqa: E402

_GROWTH = 16 << 20
"""Bytes that memory may differ by between the first tenth of the run and its end."""


def main() -> int:
    """Run, report, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=4, help="of each kind")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between two reloads")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="balancer-soak-") as folder:
        soak = Soak(Path(folder), wanted.clients)
        began = said = time.monotonic()
        turn = 0
        try:
            while time.monotonic() - began < wanted.minutes * 60 and not soak.failures:
                turn += 1
                soak.reload(turn)
                if turn % 40 == 0:
                    soak.trouble("stop" if turn % 80 else "kill")
                if time.monotonic() - said >= min(60.0, wanted.minutes * 10):
                    said = time.monotonic()
                    _report(soak, said - began)
                time.sleep(wanted.pause)
            soak.end()
        finally:
            soak.close()
        _report(soak, time.monotonic() - began)
    for failure in soak.failures:
        print(f"failed: {failure}")
    settled = soak.memory[len(soak.memory) // 10 :]
    grown = len(settled) > 1 and settled[-1] - settled[0] > _GROWTH
    if grown:
        print(f"failed: memory grew from {settled[0] >> 20} to {settled[-1] >> 20} MiB")
    return int(bool(soak.failures) or grown)


def _report(soak: Soak, seconds: float) -> None:
    memory = f"{soak.memory[-1] / (1 << 20):.1f} MiB" if soak.memory else "-"
    counts = ", ".join(f"{count} {what}" for what, count in sorted(soak.counts.items()))
    print(f"{seconds:6.0f} s  memory {memory}  {counts}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
