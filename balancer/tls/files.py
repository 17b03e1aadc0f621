"""Files with certificates and keys: read whole, and those with keys only if nobody else can read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from balancer.tls.pem import UnusableError

__all__ = ["State", "is_directory", "is_file", "read_file", "refuse_open_key", "state_of"]

_LARGEST = 1024 * 1024

State = tuple[int, int, int, int, int] | None
"""By which a file is known to have changed: device, inode, size, times of change; None while there is none."""


def read_file(path: Path) -> tuple[bytes, os.stat_result]:
    """Return the content of the file at ``path`` and its state at that time.

    Raises:
        UnusableError: naming the file and why it cannot be read.
    """
    try:
        # Without waiting: whoever would write into a pipe may never come.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnusableError(f"expected a file, {path} is none")
            content = file.read(_LARGEST + 1)
    except IsADirectoryError:
        raise UnusableError(f"expected a file, {path} is a directory") from None
    except OSError as error:
        raise UnusableError(f"cannot read {path}: {error.strerror}") from None
    if len(content) > _LARGEST:
        raise UnusableError(f"expected a file of at most 1 MiB, {path} is larger")
    return content, status


def refuse_open_key(path: Path, status: os.stat_result, user: int | None = None) -> None:
    """Refuse a key that others than its owner, and at most a group of the owner's choosing, can read.

    Owned by root or by ``user``, by default the one that this process runs as; no rights for others; the group may read and
    no more. For root any owner will do: it starts services that go on as another user.

    Raises:
        UnusableError: saying what is wrong and which command mends it.
    """
    user = os.geteuid() if user is None else user
    if user != 0 and status.st_uid not in (0, user):
        raise UnusableError(
            f"the key {path} belongs to the user {status.st_uid}, who could replace it "
            f"(mend: chown root {path}; or the user that the balancer runs as)"
        )
    if status.st_mode & 0o037:
        others = "everybody on this machine" if status.st_mode & 0o007 else "the group of the file"
        can = "read" if status.st_mode & 0o004 else "change" if status.st_mode & 0o022 else "run"
        raise UnusableError(
            f"the key {path} has the mode {stat.S_IMODE(status.st_mode):04o}: {others} can {can} it "
            f"(mend: chmod 0600 {path}; 0640 is accepted too)"
        )


def is_file(path: Path) -> bool:
    """Whether there is a file at ``path``; False too for what can be none, such as a name that is too long."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_directory(path: Path) -> bool:
    """Whether there is a directory at ``path``, likewise."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def state_of(path: Path) -> State:
    """Return what tells the file at ``path`` from another one in its place, or from itself rewritten."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
