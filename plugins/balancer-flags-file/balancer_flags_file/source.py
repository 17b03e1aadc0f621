"""Flags from a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, RootModel, ValidationError, model_validator
from ruamel.yaml import YAML, YAMLError
from twisted.logger import Logger
from zope.interface import implementer

from balancer.hooks.interfaces import IFlags
from balancer.hooks.settings import KeySetting, LocalPath, Settings
from balancer.model.facts import RequestFacts
from balancer.model.keys import Key

EVERY = 1.0
"""Seconds between two looks whether the file has changed."""

_SPAN = 2**64
_log = Logger()


class FileSettings(Settings):
    """Flags from a file. A bare string is the path."""

    path: LocalPath = Field(description="A file of YAML or JSON: flags by name.")


class Flag(Settings):
    """One flag: a value for shares of all clients, another for the rest."""

    of: KeySetting = Field(default=Key(), description="What decides: client_ip, {cookie: NAME}, {header: NAME}…")
    seed: str | None = Field(default=None, description="Name of the draw; the flag's by default.")
    percent: Mapping[str, Annotated[float, Field(ge=0, le=100)]] = Field(default={}, description="Percent by value.")
    otherwise: str | None = Field(
        default=None, description="The value for everybody else; none: there is no such flag."
    )

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"otherwise": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _at_most_all(self) -> Self:
        if sum(self.percent.values()) > 100.000001:
            raise ValueError("expected percentages of 100 at most in all")
        return self

    def value(self, name: str, facts: RequestFacts) -> str | None:
        """Return what it is for this request."""
        key = self.of.of(facts) if self.percent else None
        if key is not None:
            seed = name if self.seed is None else self.seed
            digest = blake2b(seed.encode() + b"\0" + key, digest_size=8).digest()
            place, end = int.from_bytes(digest, "big") * 100 / _SPAN, 0.0
            for value, share in self.percent.items():
                end += share
                if place < end:
                    return value
        return self.otherwise


class _Flags(RootModel[dict[str, Flag]]):
    """A whole file."""


@implementer(IFlags)
class FlagsFile:
    """The source.

    Args:
        path: the file.
        now: returns monotonic seconds.

    Raises:
        ValueError: the file cannot be used.
    """

    def __init__(self, path: str, now: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path)
        self._now = now
        self._seen: tuple[int, ...] | None = self._state()
        self._flags = self._read()
        self._due = now() + EVERY

    def value(self, name: str, facts: RequestFacts) -> str | None:
        """Return what the flag is for this request."""
        if self._now() >= self._due:
            self._look()
        flag = self._flags.get(name)
        return None if flag is None else flag.value(name, facts)

    def _look(self) -> None:
        """Read the file if it has changed; what is wrong with it is told once."""
        self._due = self._now() + EVERY
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        try:
            self._flags = self._read()
        except ValueError as error:
            _log.error("{error}; the flags from before stay", error=error)
        else:
            _log.info("read the flags in {path}", path=self._path)

    def _state(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _read(self) -> dict[str, Flag]:
        try:
            with self._path.open(encoding="utf-8") as file:
                data = YAML(typ="safe", pure=True).load(file)
            return _Flags.model_validate({} if data is None else data).root
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"{self._path}: {place}: {first['msg']}") from error
        except (OSError, UnicodeDecodeError, YAMLError) as error:
            raise ValueError(f"the flags in {self._path} cannot be read: {' '.join(str(error).split())}") from error
