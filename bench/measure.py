"""The rounds: every case, and in each round of it every peer in its turn, freshly started, on a core of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.cases import Case, Figures, Running
from bench.load import Behind, Load, behind, compiled, identified
from bench.peers import Peer, Place
from bench.peers.equality import Unequal, compare
from bench.processes import Missing, NotStarted, free_port, many_descriptors, started, wait_for

__all__ = ["Found", "measure"]


@dataclass
class Found:
    """The figures of each round by case and peer; who was left out, and why; what went wrong."""

    cases: dict[str, dict[str, list[Figures]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Bench:
    directory: Path
    load: Load
    ports: Behind
    core: int | None
    seconds: float
    rate: float
    compared: set[str] = field(default_factory=set)

    def run(self, case: Case, peer: Peer) -> Figures:
        """Start ``peer``, measure ``case``, end it."""
        with tempfile.TemporaryDirectory(prefix="peer-", dir=self.directory) as scratch:
            tcp = self.ports.iperf if case.iperf else self.ports.tcp
            behind_it = (self.ports.http, tcp, self.ports.udp)
            place = Place(
                *(Path(scratch), free_port(), free_port(), free_port(), behind_it, case.routes),
                https=free_port(),
                identity=self.directory,
                calls=self.ports.calls or 1,
            )
            command, output = peer.command(place), place.file(f"{peer.name.split()[0]}.out")
            began = time.monotonic()
            with started(command, self.core, output, peer.environment) as process:
                # iperf3 takes one test at a time, and somebody who only knocks for one: it is not knocked at.
                wait_for(process, [place.http] if case.iperf else peer.ports(place), output, case.patience)
                startup = time.monotonic() - began
                if peer.name not in self.compared:
                    compare(place.http, place.file(peer.log))
                    self.compared.add(peer.name)
                return case.measure(Running(peer, process.pid, place, self.load, self.seconds, self.rate, startup))


def measure(cases: Sequence[Case], peers: Sequence[Peer], rounds: int, seconds: float, rate: float) -> Found:
    """Measure ``cases`` with ``peers``: the rounds of a case follow each other, so that all meet the same weather.

    Args:
        cases: what to measure.
        peers: who takes part; who is missing, or does not start, is left out and named.
        rounds: how often.
        seconds: for each measurement.
        rate: requests per second where a rate is given.
    """
    many_descriptors()
    cores = sorted(os.sched_getaffinity(0))
    proxy, client = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
    server = cores[2] if len(cores) > 2 else client
    found = Found({case.name: {} for case in cases})
    total, number = sum(len(_able(case, peers)) for case in cases) * rounds, 0
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        directory = identified(compiled(Path(scratch)))
        calls = any(case.needs == "grpc" for case in cases)
        with behind(directory, server, calls) as ports:
            bench = _Bench(directory, Load(directory, client), ports, proxy, seconds, rate)
            for case in cases:
                for turn in range(rounds):
                    for peer in _able(case, peers):
                        number += 1
                        _progress(f"{number} of {total}: {case.name}, round {turn + 1}, {peer.name}")
                        if peer.name not in found.left_out:
                            _one(bench, case, peer, found)
    _progress("")
    return found


def _able(case: Case, peers: Sequence[Peer]) -> list[Peer]:
    return [peer for peer in peers if case.needs in peer.abilities and case.routes <= peer.most_routes]


def _one(bench: _Bench, case: Case, peer: Peer, found: Found) -> None:
    try:
        figures = bench.run(case, peer)
        found.cases[case.name].setdefault(peer.name, []).append(figures)
    except (Missing, Unequal) as error:
        found.left_out[peer.name] = str(error)
        if isinstance(error, Unequal):
            found.trouble.append(f"{peer.name}: {error}")
    except NotStarted as error:
        if peer.name not in bench.compared:  # it never started; else it is this case's trouble
            found.left_out[peer.name] = str(error)
        found.trouble.append(f"{peer.name}, {case.name}: {error}")
    except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
        found.trouble.append(f"{peer.name}, {case.name}: {type(error).__name__}: {error}")


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)
