"""The files of a directory: Twisted's ``static.File`` with the conditions of RFC 9110, and refusals of our own.

No directory is listed unless asked for, what is not there gets the balancer's own page, and each file has a strong ``ETag``
made of its size and the nanosecond of its last change, so that several balancers with the same files agree on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.web.http import datetimeToString
from twisted.web.static import File

from balancer.model.exchange import Reply
from balancer.routing.tree import AnswerResource
from balancer.wire.conditions import same_version, unmet

__all__ = ["Files"]

_PACKED = {
    ".bz2": "application/x-bzip2",
    ".gz": "application/gzip",
    ".tgz": "application/gzip",
    ".xz": "application/x-xz",
    ".zst": "application/zstd",
}
_MOST_RANGES = 16


class Files(File):
    """A directory or file as Twisted serves it, but for what is not there or must not be shown, and for conditions.

    A compressed file is what was asked for, not a form of it: its type says so, ``Content-Encoding`` does not, with which
    browsers would unpack what they were to save.
    """

    contentTypes: Any = {**File.contentTypes, **_PACKED}
    contentEncodings: Any = {}
    childNotFound: Any = AnswerResource(Reply(404, detail="There is no such file."))
    listed = False

    def createSimilarFile(self, path: str) -> Files:
        """Return the resource for a file or directory below."""
        similar: Files = super().createSimilarFile(path)
        similar.listed = self.listed
        return similar

    def directoryListing(self) -> Any:
        """Return the list of what is in the directory, or a refusal."""
        return super().directoryListing() if self.listed else _NOT_LISTED

    def render_GET(self, request: Any) -> Any:
        """Serve a file; a pipe or a device, which could make everybody wait, is not there."""
        self.restat(reraise=False)
        if self.exists() and not self.isfile() and not self.isdir():
            return self.childNotFound.render(request)
        if self.isfile():
            try:
                tag, modified = self._version()
            except OSError:  # gone since
                return self.childNotFound.render(request)
            request.setHeader(b"etag", tag)
            status = unmet(_fields(request), tag, modified)
            if status == 412:
                return _CHANGED.render(request)
            if status == 304:
                request.setHeader(b"last-modified", datetimeToString(modified))
                request.setResponseCode(304)
                return b""
            request.requestHeaders.removeHeader(b"if-modified-since")  # as If-None-Match may go before it
            if not self._want_ranges(request, tag, modified):
                request.requestHeaders.removeHeader(b"range")
        return super().render_GET(request)

    render_HEAD = render_GET

    def _version(self) -> tuple[bytes, int]:
        """Return a strong validator, and the time that Twisted gives as ``Last-Modified``."""
        stat = Path(self.path).stat()
        return b'"%x-%x"' % (stat.st_mtime_ns, stat.st_size), math.ceil(stat.st_mtime)

    def _want_ranges(self, request: Any, tag: bytes, modified: int) -> bool:
        """Whether ``Range`` is meant for this very file, and is no attempt to have it many times."""
        condition = request.getHeader(b"if-range")
        if condition is not None and not same_version(condition, tag, modified):
            return False
        return (request.getHeader(b"range") or b"").count(b",") < _MOST_RANGES

    def _rangeToOffsetAndSize(self, start: int | None, end: int | None) -> tuple[int, int]:
        """Return offset and size of a range; the last 500 bytes of a smaller file are the file, on which Twisted fails."""
        if start is None and end is not None:
            end = min(end, self.getFileSize())
        found: tuple[int, int] = super()._rangeToOffsetAndSize(start, end)
        return found


_NOT_LISTED = AnswerResource(Reply(403, detail="This directory is not listed."))
_CHANGED = AnswerResource(Reply(412, detail="The file is not as the request expects it."))


def _fields(request: Any) -> Callable[[bytes], bytes | None]:
    def field(name: bytes) -> bytes | None:
        values = request.requestHeaders.getRawHeaders(name)
        return b", ".join(values) if values else None

    return field
