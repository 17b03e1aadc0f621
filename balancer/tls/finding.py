"""Which files a configuration means that names a directory, a pattern or a file without saying where its key is.

::

    shop.pem                   the certificate, its chain and its key in one file
    shop.pem  shop.key         … or the key beside it: the same name ending in .key, or with .key added
    live/shop/fullchain.pem    … or as ACME clients lay them out: privkey.pem beside it
    certs/                     every .pem, .crt and .cer in it that holds a certificate, in the order of names
    certs/*.pem                what matches
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from glob import glob, has_magic
from pathlib import Path

from balancer.tls.files import is_directory, is_file, read_file
from balancer.tls.pem import UnusableError, split
from balancer.tls.reading import Source

__all__ = ["found", "has_key", "is_pattern", "key_beside"]

_ENDINGS = (".pem", ".crt", ".cer")
_KEY_FILES = re.compile(r".*(?:\.key|\.key\.pem|-key\.pem)|privkey\.pem")
_CHAIN_FILES = frozenset(["chain.pem", "ca.pem", "ca-bundle.pem", "ca.crt"])
_LEAF_ONLY = ("cert.pem", "fullchain.pem")
"""Of these two, as ACME clients write them, the second holds the first and its chain."""


def is_pattern(path: str) -> bool:
    """Whether ``path`` names several files: a directory or a pattern."""
    return has_magic(path) or is_directory(Path(path))


def found(path: str, directory: str, holds_key: Callable[[Path], bool] | None = None) -> Iterator[Source]:
    """Yield where the certificates are that ``path`` stands for, in the order of names.

    ``directory`` is that of the configuration: names of what is below it are told relative to it. ``holds_key`` is
    :func:`has_key`, or what remembers its answers.

    Raises:
        UnusableError: if there is nothing there.
    """
    if not is_pattern(path):
        file = Path(path)
        yield Source(_name(file, directory), file, key_beside(file))
        return
    if has_magic(path):
        files = [Path(each) for each in sorted(glob(path, recursive=True))]  # noqa: PTH207 - patterns may be absolute
        files = [each for each in files if is_file(each) and not _KEY_FILES.fullmatch(each.name)]
        where = f"no file matches {path}"
    else:
        try:
            files = sorted(each for each in Path(path).iterdir() if _may_be_one(each))
        except OSError as error:
            raise UnusableError(f"cannot look into the directory {path}: {error.strerror}") from None
        where = f"there is no certificate in the directory {path}"
    sources = [Source(_name(each, directory), each, key_beside(each)) for each in files]
    if not has_magic(path):
        holds_key = holds_key or has_key
        sources = [each for each in sources if each.key is not None or holds_key(each.cert)]
    if not sources:
        raise UnusableError(where)
    yield from sources


def key_beside(cert: Path) -> Path | None:
    """Return the file beside ``cert`` that holds its key, None where there is none."""
    if not cert.name:
        return None
    names = [cert.with_suffix(".key"), cert.with_name(f"{cert.name}.key")]
    if cert.name in _LEAF_ONLY:
        names.append(cert.with_name("privkey.pem"))
    return next((each for each in names if each != cert and is_file(each)), None)


def _may_be_one(path: Path) -> bool:
    if path.name.startswith(".") or path.suffix not in _ENDINGS or not is_file(path):
        return False
    if path.name in _CHAIN_FILES or _KEY_FILES.fullmatch(path.name):
        return False
    return not (path.name == _LEAF_ONLY[0] and is_file(path.with_name(_LEAF_ONLY[1])))


def has_key(path: Path) -> bool:
    """Whether a file holds a key, or cannot be told: then reading it will say what is wrong."""
    try:
        return bool(split(read_file(path)[0]).keys)
    except UnusableError:
        return True


def _name(path: Path, directory: str) -> str:
    try:
        return str(path.relative_to(directory)) if directory else str(path)
    except ValueError:
        return str(path)
