"""The program that puts proofs into the DNS: called, waited for, and ended if it takes too long."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence

from balancer.acme.faults import OrderError

__all__ = ["LIMIT", "run_hook"]

LIMIT = 120.0
"""Seconds that the program may take; it returns when everybody can see what it did."""

_SHOWN = 200


def run_hook(command: Sequence[str], action: str, name: str, value: str, limit: float = LIMIT) -> None:
    """Run ``command`` with ``action`` (``present`` or ``cleanup``), the name of a TXT record and its value; to be run in a thread.

    Raises:
        OrderError: if it cannot be started, takes too long or ends with another status than 0; with the last line that it wrote.
    """
    program = command[0]
    try:
        process = subprocess.Popen(
            [*command, action, name, value],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise OrderError(
            f"dns_hook: {program} cannot be started: {getattr(error, 'strerror', None) or error}"
        ) from error
    with process:
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            _end(process)
            raise OrderError(f"dns_hook: {program} {action} took longer than {limit:g} s, and was ended") from None
    if process.returncode:
        lines = output.decode("utf-8", "replace").split("\n")
        said = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        raise OrderError(f"dns_hook: {program} {action} ended with status {process.returncode}: {said[:_SHOWN]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it with all that it has started: one of those could keep its output open."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
