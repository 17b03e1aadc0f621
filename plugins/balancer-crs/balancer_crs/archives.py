"""Archives of releases: unpacked so that nothing lands outside, nothing is half there, and nothing but files comes out."""

from __future__ import annotations

import hashlib
import hmac
import io
import lzma
import shutil
import struct
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["ArchiveError", "fetch", "is_archive", "unpack", "verified"]

LARGEST = 64 << 20
"""Bytes of an archive."""

MOST = 256 << 20
"""Bytes of all files in it."""

FILES = 20_000
"""Files in it."""

_TIMEOUT = 60
_SUFFIXES = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar", ".zip")


_DAMAGED = (
    OSError,
    EOFError,
    OverflowError,
    ValueError,
    RuntimeError,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the libraries raise when an archive is damaged, encrypted, or of a kind they do not know."""


class ArchiveError(ValueError):
    """The archive cannot be had, is not what was asked for, or is not safe to unpack."""


def is_archive(path: Path) -> bool:
    """Return whether a file is named like an archive."""
    return path.name.lower().endswith(_SUFFIXES)


def fetch(source: str) -> bytes:
    """Return the bytes of an archive.

    Args:
        source: an ``https`` (or ``http``) address, or the path of a file.

    Raises:
        ArchiveError: it cannot be had, or is too large.
    """
    try:
        if source.startswith(("https://", "http://")):
            with urllib.request.urlopen(source, timeout=_TIMEOUT) as answer:  # noqa: S310  # the scheme is checked above
                data = answer.read(LARGEST + 1)
        else:
            with Path(source).open("rb") as file:
                data = file.read(LARGEST + 1)
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise ArchiveError(f"{source} cannot be had: {getattr(error, 'reason', None) or error}") from None
    if len(data) > LARGEST:
        raise ArchiveError(f"{source} is larger than {LARGEST} bytes")
    return bytes(data)


def verified(data: bytes, sha256: str) -> bytes:
    """Return ``data`` if that is its checksum.

    Raises:
        ArchiveError: it is not; both are told.
    """
    wanted = sha256.strip().lower()
    found = hashlib.sha256(data).hexdigest()
    if not hmac.compare_digest(found.encode(), wanted.encode("utf-8", "replace")):
        raise ArchiveError(f"the archive's SHA-256 is {found}, not {wanted}: nothing is unpacked")
    return data


def unpack(data: bytes, target: Path) -> Path:
    """Unpack an archive into a directory that is not there yet, and return it: all of it, or nothing.

    A single directory that everything lies in is left out: ``coreruleset-4.0.0/rules`` becomes ``rules``.

    Raises:
        ArchiveError: it is damaged, holds what is no file, or a path that leads out; or the directory is there.
    """
    if target.exists():
        raise ArchiveError(f"{target} is there already: nothing is unpacked")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise ArchiveError(f"{target} cannot be made: {error}") from None
    try:
        count = total = 0
        for name, content in _members(data):
            count += 1
            total += len(content)
            if count > FILES or total > MOST:
                raise ArchiveError(f"the archive holds more than {FILES} files or {MOST} bytes")
            path = room / "all" / _safe(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(content)
        if not count:
            raise ArchiveError("the archive holds no files")
        inner = list((room / "all").iterdir())
        root = inner[0] if len(inner) == 1 and inner[0].is_dir() and inner[0].name != "rules" else room / "all"
        root.chmod(0o755)
        root.rename(target)
    except ArchiveError:
        raise
    except _DAMAGED as error:
        raise ArchiveError(f"the archive cannot be unpacked: {error}") from None
    finally:
        shutil.rmtree(room, ignore_errors=True)
    return target


def _safe(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise ArchiveError(f"the archive holds {name!r}, which may lead out of the directory: nothing is unpacked")
    return path


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of the files."""
    if data[:4] == b"PK\x03\x04":
        yield from _zipped(data)
        return
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as archive:
        for number, member in enumerate(archive):
            if number > 2 * FILES:
                raise ArchiveError(f"the archive holds more than {FILES} files")
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise ArchiveError(f"the archive holds {member.name!r}, which is no file: nothing is unpacked")
            if member.size > MOST:
                raise ArchiveError(f"{member.name!r} in the archive is larger than {MOST} bytes")
            file = archive.extractfile(member)
            assert file is not None
            yield member.name, file.read(MOST + 1)


def _zipped(data: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            if (member.external_attr >> 16) & 0o170000 not in (0, 0o100000):
                raise ArchiveError(f"the archive holds {member.filename!r}, which is no file: nothing is unpacked")
            with archive.open(member) as file:
                yield member.filename, file.read(MOST + 1)
