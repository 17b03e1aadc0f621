"""Programs under way on a core of their own, and the ports they answer on."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from balancer.cli.free_ports import claim_port

__all__ = ["Missing", "NotStarted", "free_port", "many_descriptors", "pinned", "program", "started", "wait_for"]

_BIN = str(Path(sys.executable).parent)


class Missing(Exception):  # noqa: N818
    """A program is not installed, or cannot do what is asked of it."""


class NotStarted(Exception):  # noqa: N818
    """A program ended, or did not answer, when it was started; says what it printed last."""


def program(name: str) -> str:
    """Return the path of a program: of the virtual environment, or of the system.

    Raises:
        Missing: if there is none.
    """
    found = shutil.which(name, path=os.pathsep.join((_BIN, os.environ["PATH"], "/usr/sbin", "/sbin")))
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


def pinned(command: Sequence[str], core: int | None) -> list[str]:
    """Return the command that runs ``command`` on ``core`` and no other."""
    if core is None or shutil.which("taskset") is None:
        return list(command)
    return ["taskset", "-c", str(core), *command]


@contextmanager
def started(
    command: Sequence[str], core: int | None, output: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``command`` on ``core``, its output in a file; yields the process, and ends it afterwards."""
    variables = {**os.environ, **(environment or {})}
    with (
        output.open("ab") as file,
        subprocess.Popen(
            pinned(command, core), stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=variables
        ) as process,
    ):
        try:
            yield process
        finally:
            for patience in (
                0.5,
                5.0,
            ):  # the balancer takes the first SIGTERM for a wish to drain, the second at its word
                process.terminate()
                try:
                    process.wait(patience)
                    break
                except subprocess.TimeoutExpired:
                    continue
            else:
                process.kill()


def wait_for(process: subprocess.Popen[bytes], ports: Sequence[int], output: Path, patience: float = 20) -> None:
    """Return when ``process`` answers on all of ``ports``.

    Raises:
        NotStarted: if it ends before, or does not answer for ``patience`` seconds.
    """
    until = time.monotonic() + patience
    for port in ports:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                ended = process.poll() is not None
                if ended or time.monotonic() > until:
                    said = output.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
                    what = f"ended with status {process.returncode}" if ended else f"does not answer on port {port}"
                    raise NotStarted(f"{what}; it said: {said[0][:300]}") from None
                time.sleep(0.02)


def free_port() -> int:
    """Return a port that nobody has, neither for TCP nor for UDP, and that nobody else gets while this process runs."""
    return claim_port()


def many_descriptors() -> int:
    """Allow this process, and those it starts, as many descriptors as may be had; returns how many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most
