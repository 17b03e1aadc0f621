"""JSON Patch (RFC 6902): a list of operations, of which all are done, or none. Needs ``pip install 'txbalancer[jsonpatch]'``.

Numbers are kept as they were written, and compared by what they are worth (section 4.6).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

__all__ = ["JsonPatch", "Number", "PatchError"]


class PatchError(ValueError):
    """The patch cannot be applied: something is not there, or not what it was to be."""


class Number(str):
    """A number as it was written; equal to others of the same worth, and to no text."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Number) or str.__eq__(self, other):
            return isinstance(other, Number)
        try:
            return Decimal(self) == Decimal(other)
        except ArithmeticError:  # beyond all sense: 1e99999999999999999999
            return False

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


class JsonPatch:
    """A patch, ready to be applied.

    Raises:
        ValueError: for what is no patch, or without the library.
    """

    def __init__(self, operations: Sequence[Mapping[str, Any]]) -> None:
        try:
            import jsonpatch
        except ImportError:
            raise ValueError("jsonpatch is needed for 'patch': pip install 'txbalancer[jsonpatch]'") from None
        try:
            text = json.dumps(list(operations), default=dict, allow_nan=False)
        except TypeError:
            raise ValueError("expected a patch of JSON's own values: text, numbers, true, false, null") from None
        given = json.loads(text, parse_float=Number, parse_int=Number)
        self._failed = (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError)
        for at, operation in enumerate(given):
            needed = {"add": "value", "replace": "value", "test": "value", "move": "from", "copy": "from"}
            if not isinstance(operation.get("op"), str) or not isinstance(operation.get("path"), str):
                raise ValueError(f"expected 'op' and 'path', both text, in operation {at} of a patch")
            lacking = needed.get(operation["op"], "path")
            if lacking not in operation:
                raise ValueError(f"expected {lacking!r} in operation {at} of a patch")
            if lacking == "from" and not isinstance(operation["from"], str):
                raise ValueError(f"expected 'from' to be text in operation {at} of a patch")
            for name in ("path", "from"):
                pointer = operation.get(name, "")
                if pointer and not str(pointer).startswith("/"):
                    raise ValueError(f"expected in {name!r} a pointer such as '/user/name', got {pointer!r}")
        try:
            self._operations = [(f"{each['op']} {each['path']}", jsonpatch.JsonPatch([each])) for each in given]
        except (*self._failed, KeyError) as error:
            raise ValueError(f"expected a patch of RFC 6902: {error}") from None

    def of(self, value: Any) -> Any:
        """Return what becomes of ``value``, read with :class:`Number`; it may be changed itself.

        Raises:
            PatchError: the patch cannot be applied.
        """
        for words, operation in self._operations:
            try:
                value = operation.apply(value, in_place=True)
            except self._failed:  # whose text shows the document
                raise PatchError(f"the patch fails: {words}") from None
        return value
