"""CPU time and memory of processes, from the kernel's own accounting."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["Usage", "proportional_memory", "tree", "used"]

_TICK = os.sysconf("SC_CLK_TCK")


class Usage:
    """Seconds of CPU: in all (to the nanosecond where the kernel tells), in user mode, in the kernel (to 10 ms)."""

    __slots__ = ("system", "total", "user")

    def __init__(self, total: float, user: float, system: float) -> None:
        self.total = total
        self.user = user
        self.system = system

    def __sub__(self, before: Usage) -> Usage:
        return Usage(self.total - before.total, self.user - before.user, self.system - before.system)


def tree(pid: int) -> list[int]:
    """Return ``pid`` and all that it started, and they."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:  # a thread that ended
                pass
    return found


def used(pid: int) -> Usage:
    """Return what ``pid`` and its descendants have used so far, threads included."""
    total = user = system = 0.0
    for each in tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:  # a child that ended
            continue
        user += int(fields[11]) / _TICK
        system += int(fields[12]) / _TICK
        for task in Path(f"/proc/{each}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0]) / 1e9
            except (OSError, ValueError):  # a thread that ended, or a kernel that does not keep this
                pass
    return Usage(total or user + system, user, system)


def proportional_memory(pid: int) -> int:
    """Return the bytes of memory that ``pid`` and its descendants have, what they share divided among the sharers (PSS)."""
    total = 0
    for each in tree(pid):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total
