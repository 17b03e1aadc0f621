"""``make bench``: what a request, a connection, a packet and a gigabyte cost the balancer and its peers, in one run.

CPU time of the proxy's processes is the measure: unlike requests per second it does not depend on what the load
generator's core can do. Latency is that at one fixed rate for all, counted from when a request was due. The proxy has a
core of its own; servers and load have others. In each round each peer takes its turn, freshly started; the table shows
the medians of the rounds. Any failed request makes the exit status 1.

    make bench                                                       # about eight minutes
    make bench ARGS="--rounds 5 --seconds 6 --case http --peer nginx --peer balancer"
    make bench ARGS="--full --write"                                 # everything, and into the documentation
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import table  # noqa: E402
from bench.cases import CASES  # noqa: E402
from bench.measure import measure  # noqa: E402
from bench.peers import PEERS  # noqa: E402
from bench.plot import plot  # noqa: E402
from bench.processes import Missing, program  # noqa: E402

_VERSIONS = {"nginx": ("-v",), "haproxy": ("-v",), "envoy": ("--version",), "caddy": ("version",)}


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each measurement")
    parser.add_argument("--rate", type=float, default=2000.0, help="requests per second where latency is measured")
    parser.add_argument("--case", action="append", default=[], help="only cases with this in their names; repeatable")
    parser.add_argument("--peer", action="append", default=[], help="only peers with this in their names; repeatable")
    parser.add_argument("--full", action="store_true", help="every case, not only the quick ones")
    parser.add_argument("--write", action="store_true", help="put the table and the picture into the documentation")
    parser.add_argument("--show", type=Path, metavar="FILE", help="show the results of an earlier run; measure nothing")
    parser.add_argument("--list", action="store_true", help="name the cases and the peers")
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "results", help="folder for the figures")
    return parser.parse_args(given)


def _chosen(wanted: argparse.Namespace) -> tuple[list[Any], list[Any]]:
    def named(name: str, parts: Sequence[str]) -> bool:
        return any(part.lower() in name.lower() for part in parts)

    cases = [case for case in CASES if (named(case.name, wanted.case) if wanted.case else wanted.full or case.in_quick)]
    peers = [peer for peer in PEERS if not wanted.peer or named(peer.name, wanted.peer)]
    return cases, peers


def _version(name: str) -> str:
    try:
        done = subprocess.run([program(name), *_VERSIONS[name]], capture_output=True, text=True, check=False)
    except Missing:
        return ""
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip().removeprefix("nginx version: ").split(" h1:")[0] if lines else ""


def _machine() -> dict[str, Any]:
    model = [line.split(": ", 1)[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "processor": model[0] if model else platform.machine(),
        "load average before": os.getloadavg()[0],
        "versions": {name: _version(name) for name in _VERSIONS},
    }


def _about(run: dict[str, Any]) -> str:
    """Return the sentence above the table in the documentation."""
    machine, how = run["machine"], run["how"]
    versions = ", ".join(_short(name, version) for name, version in machine["versions"].items() if version)
    out = "".join(f" Left out: {peer} ({why.splitlines()[0]})." for peer, why in run["left out"].items())
    return (
        f"Medians of {how['rounds']} rounds of {how['seconds']:g} s, latencies at {how['rate']:g} requests/s; {machine['cores']} cores of "
        f"{machine['processor']}, Linux {machine['kernel']}, Python {machine['python']}; {versions}.{out}"
    )


def _short(name: str, version: str) -> str:
    """Return the name with the number out of what a program prints as its version."""
    words = version.replace("/", " ").split()
    numbers = [word.removeprefix("v") for word in words if word.removeprefix("v")[:1].isdigit() and "." in word]
    return f"{name} {numbers[0]}" if numbers else name


def _finish(run: dict[str, Any], wanted: argparse.Namespace, file: Path) -> int:
    """Print, draw, write; return the exit status."""
    results = run["cases"]
    print(f"\n{table.text(results)}\n")
    for peer, why in run["left out"].items():
        print(f"left out: {peer}: {why}")
    failed = [*run["trouble"], *table.failures(results)]
    for each in failed:
        print(f"FAILED: {each}")
    found, peers = table.rows(results), table.peers_of(results)
    if not found:
        return 1
    page = ROOT / "docs" / "performance.md"
    pictures = [
        file.with_suffix(".svg"),
        file.with_suffix(".png"),
        *([page.with_suffix(".svg")] if wanted.write else []),
    ]
    try:
        plot(found, peers, *pictures)
        print(f"{file}, and as pictures {', '.join(str(each) for each in pictures)}")
    except ImportError:
        print(f"{file}; no picture: matplotlib is not installed")
    if wanted.write:
        picture = page.with_suffix(".svg")
        shown = f"\n\n![Cost beside nginx]({picture.name})" if picture.exists() else ""
        table.write(page, results, _about(run) + shown)
        print(f"the table is in {page}")
    return int(bool(failed))


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, and leave the figures of every round in ``bench/results``."""
    wanted = _arguments(given)
    if wanted.show:
        return _finish(json.loads(wanted.show.read_text()), wanted, wanted.show)
    cases, peers = _chosen(wanted)
    if wanted.list or not cases or not peers:
        print("cases: " + ", ".join(case.name + ("" if case.in_quick else " (full)") for case in CASES))
        print("peers: " + ", ".join(peer.name for peer in PEERS))
        return 0 if wanted.list else 2
    machine = _machine()
    try:
        found = measure(cases, peers, wanted.rounds, wanted.seconds, wanted.rate)
    except Missing as error:
        print(f"{error}; the bench cannot do without", file=sys.stderr)
        return 2
    how = {"rounds": wanted.rounds, "seconds": wanted.seconds, "rate": wanted.rate}
    run = {"machine": machine, "how": how, "cases": found.cases, "left out": found.left_out, "trouble": found.trouble}
    wanted.results.mkdir(parents=True, exist_ok=True)
    file = wanted.results / f"{time.strftime('%Y-%m-%dT%H%M%S')}.json"
    file.write_text(json.dumps(run, indent=1, ensure_ascii=False))
    return _finish(run, wanted, file)


if __name__ == "__main__":
    sys.exit(main())
