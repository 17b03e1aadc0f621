"""``t:normalizePath``: the path that a file system would take, as ModSecurity finds it."""

from __future__ import annotations

import re

path_is_normal = re.compile(rb"//|\.(?:/|$)", re.MULTILINE)
"""What is in a path that is not normal, and sometimes in one that is."""

path_is_normal_win = re.compile(rb"//|\\|\.(?:/|$)", re.MULTILINE)
"""The same, where a backslash parts names too."""

_SLASH, _BACKSLASH, _DOT = b"/\\."


def normalize_path(value: bytes) -> bytes:
    """Take out ``//``, ``/./`` and ``/x/..``; a relative path may still begin with ``..``."""
    return _normalized(value) if path_is_normal.search(value) else value


def normalize_path_win(value: bytes) -> bytes:
    """The same after each backslash has become a slash."""
    return _normalized(value.replace(b"\\", b"/")) if path_is_normal_win.search(value) else value


def _normalized(value: bytes) -> bytes:
    """Walk through the value as ModSecurity's ``normalize_path_inplace`` does; where it walks is where it differs from others."""
    relative = value[0] != _SLASH
    out = bytearray()
    last = len(value) - 1
    at, root = 0, False
    while at <= last:
        code = value[at]
        done = at == last
        if (done or value[at + 1] == _SLASH) and not (code == _SLASH and not done):
            if code == _DOT:
                if out and out[-1] == _DOT:
                    if relative and (root or len(out) <= 2):
                        root = True
                    else:
                        keep = _parent(out)
                        if keep <= 0:
                            root, keep = True, (1 if not relative and done else 0)
                        del out[keep:]
                        if done:
                            break
                        at += 1
                elif not out:
                    if done:
                        break
                    at += 1
                elif out[-1] == _SLASH:
                    if done:
                        break
                    del out[-1]
                    at += 1
            elif out:
                root = False
        if value[at] == _SLASH:
            while at < last and value[at + 1] == _SLASH:
                at += 1
            if relative and not out:
                at += 1
                continue
        out.append(value[at])
        at += 1
    if value[last] != _SLASH and out and out[-1] == _SLASH:
        del out[-1]
    return bytes(out)


def _parent(out: bytearray) -> int:
    """Return where the slash before the last name but this one stands, 0 or less if there is none."""
    at = len(out) - 3
    while at > 0 and out[at] != _SLASH:
        at -= 1
    return at
