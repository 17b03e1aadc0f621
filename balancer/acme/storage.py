"""Where accounts and certificates are kept: readable by nobody else, whole or not at all, across restarts.

::

    STORAGE/                                       0700
      acme.example-directory/                      one for each authority: of a test one's certificates nothing is left behind
        account.key, account.json                  who we are to it
        attempts.json                              what failed, and when it may be tried again
        renewal.json                               when the authority suggests to renew, and when it is asked again
        proofs.json                                what is being proved: another process, which takes over, shows it too
        lock                                       held while something is ordered, by one process of all
        shop.example.pem, _wildcard.shop.example.pem     key, certificate, chain; replaced in one step
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from balancer.acme.schedule import Attempts, Window

__all__ = ["BusyError", "Storage", "StorageError", "certificate_path"]

_OTHERS = 0o077
_PROVING = 600.0
"""Seconds after which a proof is nobody's any more, whatever became of who had it."""


Proofs = tuple[dict[str, str], dict[str, str]]
"""Key authorizations by token, and by name."""


class StorageError(Exception):
    """The storage cannot be used; the text names the file and why."""


class BusyError(Exception):
    """Another process is ordering something."""


def _folder(storage: str, directory: str) -> Path:
    return Path(storage, re.sub(r"[^a-z0-9.]+", "-", directory.lower().removeprefix("https://")).strip("-."))


def certificate_path(storage: str, directory: str, key: str) -> str:
    """Return where the certificate called ``key`` of the authority with the URL ``directory`` is kept below ``storage``."""
    return str(_folder(storage, directory) / f"{key}.pem")


class Storage:
    """What is kept of one authority. Constructing it does nothing; everything may be called in a thread.

    Args:
        storage: the directory of all authorities.
        directory: the authority's URL.
    """

    def __init__(self, storage: str, directory: str) -> None:
        self.folder = _folder(storage, directory)

    def prepare(self) -> None:
        """Make the directories, for us alone.

        Raises:
            StorageError: if that cannot be, or others could read what is there.
        """
        try:
            self.folder.parent.mkdir(0o700, parents=True, exist_ok=True)
            self.folder.mkdir(0o700, exist_ok=True)
            status = self.folder.stat()
        except OSError as error:
            raise StorageError(f"the storage {self.folder} cannot be made: {error.strerror}") from None
        if status.st_mode & _OTHERS:
            raise StorageError(f"others can look into {self.folder} (mend: chmod 0700 {self.folder})")

    def read(self, name: str) -> bytes | None:
        """Return the content of the file ``name``, None where there is none."""
        path = self.folder / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from None

    def write(self, name: str, content: bytes) -> None:
        """Put ``content`` in the place of the file ``name``: after a crash there is the one or the other, whole."""
        path = self.folder / name
        made = self.folder / f".{name}.{secrets.token_hex(4)}"
        try:
            with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            made.replace(path)
            opened = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)
        except OSError as error:
            made.unlink(missing_ok=True)
            raise StorageError(f"cannot write {path}: {error.strerror}") from None

    def read_values(self, name: str) -> Mapping[str, object]:
        """Return the JSON object in the file ``name``; empty where there is none, or what is there is none."""
        try:
            found = json.loads(self.read(name) or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def write_values(self, name: str, values: Mapping[str, object]) -> None:
        """Write ``values`` as the JSON object of the file ``name``."""
        self.write(name, json.dumps(values, indent=1, sort_keys=True).encode() + b"\n")

    def attempts(self) -> dict[str, Attempts]:
        """Return what became of orders by the name of the certificate; under ``""`` what became of the authority itself."""
        found = {}
        for name, values in self.read_values("attempts.json").items():
            try:
                found[name] = Attempts(**values)  # type: ignore[arg-type]  # what does not fit is seen to here
                (
                    float(found[name].pause),
                    float(found[name].succeeded),
                    int(found[name].failures),
                    int(found[name].total),
                )
            except (TypeError, ValueError):
                found.pop(name, None)
        return found

    def note(self, name: str, attempts: Attempts) -> None:
        """Keep what became of an order."""
        self.write_values(
            "attempts.json", {key: asdict(each) for key, each in {**self.attempts(), name: attempts}.items()}
        )

    def windows(self) -> dict[str, Window]:
        """Return what the authority suggests, by the key of the certificate."""
        found = {}
        for name, values in self.read_values("renewal.json").items():
            try:
                each = found[name] = Window(**values)  # type: ignore[arg-type]  # likewise
                (float(each.begins), float(each.ends), float(each.again), each.fingerprint.encode(), each.why.encode())
            except (TypeError, ValueError, AttributeError):
                found.pop(name, None)
        return found

    def note_window(self, name: str, window: Window) -> None:
        """Keep what the authority suggests."""
        self.write_values("renewal.json", {key: asdict(each) for key, each in {**self.windows(), name: window}.items()})

    def proofs(self, now: float) -> Proofs:
        """Return what is being proved, by token and by name; nothing where that was to be over by ``now``."""
        try:
            found = self.read_values("proofs.json")
        except StorageError:
            return {}, {}
        until = found.get("until")
        if not isinstance(until, float) or not now < until <= now + _PROVING:
            return {}, {}
        tokens, names = (
            {key: each for key, each in kind.items() if isinstance(each, str)} if isinstance(kind, dict) else {}
            for kind in (found.get("tokens"), found.get("names"))
        )
        return tokens, names

    def note_proofs(self, tokens: Mapping[str, str], names: Mapping[str, str], now: float) -> None:
        """Keep what is being proved: another process, which takes over or shares the storage, shows it too."""
        self.write_values("proofs.json", {"tokens": dict(tokens), "names": dict(names), "until": now + _PROVING})

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only process that orders here.

        Raises:
            BusyError: if another one is.
        """
        path = self.folder / "lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"cannot open {path}: {error.strerror}") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError(f"another process is ordering certificates in {self.folder}") from None
            except OSError as error:
                raise StorageError(f"cannot lock {path}: {error.strerror}") from None
            yield
        finally:
            os.close(descriptor)

    def __repr__(self) -> str:
        return f"<Storage {self.folder}>"
