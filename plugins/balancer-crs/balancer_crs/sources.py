"""Which files are read, in which order: of a directory of CRS, an archive, a rule file, or Debian's package.

The order is CRS's own: the set-up file, plug-ins' ``-config`` and ``-before``, the rules by name, plug-ins' ``-after``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from balancer_crs.archives import fetch, is_archive, unpack

__all__ = ["DEBIAN", "SETUP", "Sources", "find"]

DEBIAN = (Path("/usr/share/modsecurity-crs"), Path("/etc/modsecurity/crs"))
"""Where Debian's modsecurity-crs has its rules, and what may be edited of them."""

SETUP = ("crs-setup.conf", "crs-setup.conf.example")
"""Names of set-up files, the first that is there."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Files to read.

    Attributes:
        setup: to be read first; what is set in the balancer's configuration comes after them.
        rules: to be read then.
        root, shown: paths below ``root`` are told as ones below ``shown`` (an archive's).
    """

    setup: tuple[Path, ...]
    rules: tuple[Path, ...]
    root: Path | None = None
    shown: str = ""

    def show(self, path: Path) -> str:
        """Return a path as it is told."""
        if self.root is not None and path.is_relative_to(self.root):
            return f"{self.shown}/{path.relative_to(self.root)}"
        return str(path)


@contextmanager
def find(rules: str | None, setup: str | None = None, debian: tuple[Path, Path] = DEBIAN) -> Iterator[Sources]:
    """Yield the files to read; those of an archive are there only meanwhile.

    Args:
        rules: a directory, an archive, a rule file; None: Debian's package.
        setup: the set-up file; None: the one beside the rules.
        debian: where that package has its files.

    Raises:
        ValueError: there are none.
    """
    given = None if setup is None else Path(setup)
    if given is not None and not given.is_file():
        raise ValueError(f"{given} is no file")
    if rules is None:
        if not debian[0].is_dir():
            raise ValueError(
                f"there are no rules: expected rules: PATH (`balancer-crs get` fetches a release), or Debian's package "
                f"modsecurity-crs at {debian[0]}"
            )
        yield _directory(debian[0], given, debian)
        return
    path = Path(rules)
    if path.is_dir():
        yield _directory(path, given, debian)
    elif not path.is_file():
        raise ValueError(f"{path} is no file and no directory")
    elif is_archive(path):
        with tempfile.TemporaryDirectory(prefix="balancer-crs-") as room:
            root = unpack(fetch(str(path)), Path(room) / "rules-of-archive")
            found = _directory(root, given, debian)
            yield Sources(found.setup, found.rules, root, str(path))
    else:
        yield Sources(() if given is None else (given,), (path,))


def _directory(path: Path, given: Path | None, debian: tuple[Path, Path]) -> Sources:
    root = path if (path / "rules").is_dir() else path.parent
    folder = path / "rules" if (path / "rules").is_dir() else path
    files = [each for each in sorted(folder.glob("*.conf")) if each.is_file() and each.name not in SETUP]
    if not files:
        raise ValueError(f"{folder} has no rule files (*.conf)")
    places = [root, folder]
    before: list[Path] = []
    after: list[Path] = []
    if root.resolve() == debian[0].resolve():
        places.insert(0, debian[1])
        before = [each for each in sorted(debian[1].glob("REQUEST-*.conf")) if each.is_file()]
        after = [each for each in sorted(debian[1].glob("RESPONSE-*.conf")) if each.is_file()]
    if given is None:
        given = next((place / name for name in SETUP for place in places if (place / name).is_file()), None)
    if given is None:
        raise ValueError(f"{root} has no crs-setup.conf and no example of it: expected setup: FILE")
    plugins = root / "plugins"
    config, early, late = (sorted(plugins.glob(f"*-{part}.conf")) for part in ("config", "before", "after"))
    return Sources((given,), (*before, *config, *early, *files, *late, *after))
