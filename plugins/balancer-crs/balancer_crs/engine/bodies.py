"""Bodies of requests, read: forms, JSON and XML as names and values. Multipart is in :mod:`balancer_crs.engine.multipart`.

A reader never raises: what is wrong with a body is for rules to judge, as :attr:`Body.error`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from balancer_crs.engine.decoding import url_decode

Values = list[tuple[bytes, bytes]]

_BAD_ESCAPE = re.compile(rb"%(?![0-9a-fA-F]{2})")


@dataclass(slots=True)
class Body:
    """What a body says.

    Attributes:
        args: names and values, in order.
        error: why it could not be read; empty if it could.
        xml: the document.
        files, file_names, sizes: of multipart: names of fields with the files' own names; names; lengths.
        part_headers: of multipart: names of fields with the lines of their heads.
        flags: of multipart: ``MULTIPART_…`` and their values.
    """

    args: Values = field(default_factory=list)
    error: str = ""
    xml: Document | None = None
    files: Values = field(default_factory=list)
    sizes: list[tuple[bytes, int]] = field(default_factory=list)
    part_headers: Values = field(default_factory=list)
    part_names: list[bytes] = field(default_factory=list)
    flags: dict[str, int] = field(default_factory=dict)
    bad_escapes: bool = False


def urlencoded(text: bytes, separator: bytes = b"&") -> Values:
    """Return the names and values of a query or form, decoded; an empty text has none."""
    found: Values = []
    if not text:
        return found
    plain = b"%" not in text and b"+" not in text
    for part in text.split(separator):
        name, _, value = part.partition(b"=")
        if plain:
            found.append((name, value))
        else:
            found.append((url_decode(name), url_decode(value)))
    return found


def read_urlencoded(text: bytes, separator: bytes = b"&") -> Body:
    """Read a form."""
    return Body(args=urlencoded(text, separator), bad_escapes=_BAD_ESCAPE.search(text) is not None)


def cookies(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the names and values of a ``Cookie`` header; nothing is decoded, a name without ``=`` has an empty value."""
    for part in text.rstrip().split(b";"):
        name, _, value = part.partition(b"=")
        name = name.lstrip()
        if name:
            yield name, value


class _Number(str):
    __slots__ = ()


class _Pairs(list[Any]):
    """The members of an object, in order, repeated ones too."""


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Pairs, parse_int=_Number, parse_float=_Number, parse_constant=_refuse, strict=False
)


def read_json(text: bytes, deepest: int = 512) -> Body:
    """Read JSON: ``{"a": {"b": [1]}}`` has the name ``json.a.b.array_0``; ``true`` is a word, ``null`` is empty."""
    if not text.strip():
        return Body()
    if _depth(text, deepest):
        return Body(error=f"JSON is deeper than {deepest}")
    body = Body()
    try:
        value = _DECODER.decode(text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Body(error="invalid bytes in UTF8 string.")
    except RecursionError:
        return Body(error="JSON is too deep")
    except ValueError as error:
        return Body(error=f"{error}")
    _flatten("json", value, body.args)
    return body


def _depth(text: bytes, deepest: int) -> bool:
    """Return whether brackets are nested deeper than that; only a body with so many is looked at closely."""
    if text.count(b"[") + text.count(b"{") <= deepest:
        return False
    depth = 0
    for found in _BRACKETS.finditer(text):
        bracket = found[0]
        if bracket in (b"[", b"{"):
            depth += 1
            if depth > deepest:
                return True
        elif bracket in (b"]", b"}"):
            depth -= 1
    return False


_BRACKETS = re.compile(rb'[\[\]{}]|"(?:[^"\\]|\\.)*"', re.DOTALL)


def _flatten(name: str, value: Any, into: Values) -> None:
    """Walk through the document with a list of its own, not the interpreter's stack."""
    waiting = [(name, value)]
    while waiting:
        path, each = waiting.pop()
        kind = type(each)
        if kind is _Pairs:
            waiting += [(f"{path}.{key}", member) for key, member in reversed(each)]
        elif kind is list:
            waiting += [(f"{path}.array_{index}", each[index]) for index in range(len(each) - 1, -1, -1)]
        else:
            text = "" if each is None else ("true" if each else "false") if kind is bool else each
            into.append((path.encode("utf-8", "surrogatepass"), text.encode("utf-8", "surrogatepass")))


class Document:
    """An XML document, asked by XPath."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._known: dict[str, list[bytes]] = {}

    def values(self, path: str) -> list[bytes]:
        """Return the texts of the nodes of this path, an element's with all that is within it."""
        if path not in self._known:
            self._known[path] = self._find(path)
        return self._known[path]

    def _find(self, path: str) -> list[bytes]:
        from lxml import etree  # type: ignore[import-untyped]

        def text(node: Any) -> str:
            # References to entities stay as they are written, and what follows them is not lost.
            return node if isinstance(node, str) else "".join(node.itertext("*", etree.Entity))

        if path == "/*":
            return [text(self._root).encode("utf-8", "surrogatepass")]
        try:
            found = self._root.getroottree().xpath(path)
        except etree.XPathError:
            return []
        if not isinstance(found, list):
            return [str(found).encode("utf-8", "surrogatepass")]
        return [text(each).encode("utf-8", "surrogatepass") for each in found]


def read_xml(text: bytes) -> Body:
    """Read XML, without its entities, without the network. An entity stays the reference that it is."""
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=False
    )
    try:
        root = etree.fromstring(text, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        return Body(error=f"{error}")
    if root is None:
        return Body(error="no document")
    return Body(xml=Document(root))
