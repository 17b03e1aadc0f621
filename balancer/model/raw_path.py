"""A path as it was sent beside the normalised, decoded one that routes match: which raw bytes a match took.

::

    raw         /%61pp//b%20c/../d        as sent, and as it goes on where nothing is replaced
    normalised  /app/d                    what patterns and expressions see (:mod:`.target`)
    kept        /%61pp/d                  the raw bytes of what was matched

What is cut or captured by its decoded form can so be taken from, or put into, the path as it was sent: escapes that a client
chose stay as they are.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

__all__ = ["RawPath"]


class RawPath:
    """One path, without query, that :func:`~.target.normalised_path` takes."""

    __slots__ = ("_ends", "_offsets", "_segments", "_trailing", "raw")

    def __init__(self, raw: str) -> None:
        self.raw = raw
        self._segments: list[str] = []
        self._ends: list[int] = []
        self._offsets: list[int] | None = None
        end = 0
        decoded = ""
        for segment in raw.split("/")[1:]:
            end += 1 + len(segment)
            decoded = unquote_to_bytes(segment).decode("latin-1") if "%" in segment else segment
            if decoded == "..":
                del self._segments[-1:], self._ends[-1:]
            elif decoded not in ("", "."):
                self._segments.append(segment)
                self._ends.append(end)
        self._trailing = bool(self._segments) and decoded in ("", ".", "..")

    @property
    def kept(self) -> str:
        """The raw bytes of the normalised path."""
        return "/" + "/".join(self._segments) + ("/" if self._trailing else "")

    def segment(self, at: int) -> str:
        """Return a raw segment of the normalised path, counted from 0; ``""`` where there is none."""
        return self._segments[at] if at < len(self._segments) else ""

    def first(self, count: int) -> str:
        """Return the raw bytes of the first ``count`` segments of the normalised path: ``/a/b``, ``""`` for none."""
        return "".join(f"/{segment}" for segment in self._segments[:count])

    def rest(self, count: int) -> str:
        """Return what was sent behind the first ``count`` segments of the normalised path: ``""``, or with its leading slash.

        Its own dot segments never lead out of it, as those that did are before it.
        """
        if not count:
            return self.raw
        return self.raw[self._ends[count - 1] :] if count <= len(self._ends) else ""

    def below(self, count: int) -> str:
        """Return the same of the normalised path: no doubled slashes, no dots; without a leading slash."""
        return "/".join(self._segments[count:]) + ("/" if self._trailing and count < len(self._segments) else "")

    def span(self, start: int, end: int) -> str:
        """Return the raw bytes of :attr:`kept` from which the bytes ``start`` to ``end`` of the normalised path (UTF-8) came."""
        offsets = self._offsets
        if offsets is None:
            offsets = self._offsets = _offsets(self.kept)
        return self.kept[offsets[start] : offsets[end]]

    def __repr__(self) -> str:
        return f"<RawPath {self.raw}>"


def _offsets(kept: str) -> list[int]:
    """Return where each byte of the decoded path begins in ``kept``, and behind the last."""
    offsets = []
    at = 0
    while at < len(kept):
        offsets.append(at)
        if kept[at] == "%":
            at += 3
        else:
            if kept[at] > "\x7f":  # a byte that was sent as it is; patterns see it as latin-1
                offsets.append(at + 1)
            at += 1
    offsets.append(len(kept))
    return offsets
