"""The request target (RFC 9112 section 3.2) taken apart, and its path normalised for matching.

The target itself is forwarded as it was sent; only matching sees the normalised path. What two readers could
read in two ways is refused: NUL and other controls, an encoded ``/`` or ``\\``, and ``..`` that leaves the root.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

__all__ = ["BadTargetError", "normalised_path", "split_target"]

_BAD_ESCAPE = re.compile(r"%(?:00|2[fF]|5[cC])|%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")


class BadTargetError(ValueError):
    """The request target cannot be read in one way only; the text says what is wrong with it."""


def split_target(target: str) -> tuple[str, str, str, str]:
    """Return ``(scheme, authority, path, query)`` of an origin-form or absolute-form target; query without ``?``.

    Raises:
        BadTargetError: for a target that is neither, or holds a control character, space or fragment.
    """
    if _CONTROL.search(target) or "#" in target:
        raise BadTargetError("a control character, space or fragment in the target")
    if target.startswith("/"):
        path, _, query = target.partition("?")
        return "", "", path, query
    if target == "*":
        return "", "", "*", ""
    scheme, separator, rest = target.partition("://")
    if separator and scheme.lower() in ("http", "https", "ws", "wss"):
        end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
        authority, rest = rest[:end], rest[end:]
        if not authority or "@" in authority:
            raise BadTargetError("no host, or user information, in an absolute target")
        path, _, query = rest.partition("?")
        return scheme.lower(), authority, path or "/", query
    raise BadTargetError("neither a path, an absolute http URL nor '*'")


def normalised_path(path: str) -> str:
    """Return ``path`` with escapes decoded (UTF-8, odd bytes kept as surrogates), ``//`` joined, ``.``/``..`` resolved.

    Raises:
        BadTargetError: for NUL, an encoded slash or backslash, a backslash, a broken escape, or ``..`` above the root.
    """
    if "%" in path:
        bad = _BAD_ESCAPE.search(path)
        if bad:
            raise BadTargetError(f"the escape {bad[0]!r} in the path")
        path = unquote_to_bytes(path).decode("utf-8", "surrogateescape")
    if "\\" in path or "\0" in path:
        raise BadTargetError("a backslash or NUL in the path")
    if "//" not in path and "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if not kept:
                raise BadTargetError("'..' leaves the root")
            kept.pop()
        elif segment not in ("", "."):
            kept.append(segment)
    trailing = "/" if kept and segments[-1] in ("", ".", "..") else ""
    return "/" + "/".join(kept) + trailing
