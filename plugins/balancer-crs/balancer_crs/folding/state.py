"""What is known of ``TX`` at one place of the rules, whatever request comes that far.

A member is known to have a value, known to be absent, or unknown. Nothing is known to be there that was not written:
an exchange begins with an empty collection.
"""

from __future__ import annotations

from enum import Enum

from balancer_crs.lang.model import Reference, SetVar, Text

__all__ = ["ABSENT", "UNKNOWN", "Known", "State", "integer", "resolved"]


class _Mark(Enum):
    ABSENT = "absent"
    UNKNOWN = "unknown"


ABSENT = _Mark.ABSENT
UNKNOWN = _Mark.UNKNOWN
Known = str | _Mark


class State:
    """Values by name in small letters."""

    __slots__ = ("_prefixes", "_values")

    def __init__(self, values: dict[str, Known] | None = None, prefixes: frozenset[str] = frozenset()) -> None:
        self._values = dict(values or {})
        self._prefixes = prefixes
        """Members so named may have been written under a name that is not known."""

    def get(self, key: str) -> Known:
        """Return what is known of a member."""
        low = key.lower()
        if low in self._values:
            return self._values[low]
        if low.isdigit() or any(low.startswith(prefix) for prefix in self._prefixes):
            return UNKNOWN  # a capture, or a name made of a request
        return ABSENT

    def write(self, key: str, value: Known) -> None:
        """Say what is known from here on."""
        self._values[key.lower()] = value

    def blur(self, prefix: str) -> None:
        """Forget what is known of members whose name begins so."""
        low = prefix.lower()
        for key in self._values:
            if key.startswith(low):
                self._values[key] = UNKNOWN
        self._prefixes |= {low}

    def copy(self) -> State:
        """Return one that can be changed without changing this."""
        return State(self._values, self._prefixes)

    def joined(self, other: State | None) -> State:
        """Return what is known if either holds; None is a place that is never reached."""
        if other is None:
            return self.copy()
        values = {
            key: mine if (mine := self.get(key)) == other.get(key) else UNKNOWN
            for key in self._values.keys() | other._values.keys()
        }
        return State(values, self._prefixes | other._prefixes)

    def apply(self, effect: SetVar, *, certain: bool) -> bool:
        """Obey an assignment to ``TX`` and return whether it is a constant one.

        Args:
            effect: the assignment.
            certain: whether it happens, and once; else it may happen any number of times, or never.
        """
        key = resolved(effect.key, self)
        if key is None:
            first = effect.key.pieces[0] if effect.key.pieces else ""
            self.blur(first if isinstance(first, str) else "")
            return False
        value = self._changed(effect, key)
        if not certain and (effect.operation in ("add", "subtract") or value != self.get(key)):
            value = UNKNOWN
        self.write(key, value)
        return value is not UNKNOWN

    def _changed(self, effect: SetVar, key: str) -> Known:
        if effect.operation == "unset":
            return ABSENT
        value = resolved(effect.value, self)
        before = self.get(key)
        if value is None:
            return UNKNOWN
        if effect.operation == "set":
            return value
        if before is UNKNOWN:
            return UNKNOWN
        number = integer(before) if isinstance(before, str) else 0
        return str(number + integer(value) if effect.operation == "add" else number - integer(value))


def resolved(text: Text, state: State) -> str | None:
    """Return a text whose macros are all known, else None."""
    parts = []
    for piece in text.pieces:
        value = piece if isinstance(piece, str) else _value(piece, state)
        if not isinstance(value, str):
            return None
        parts.append(value)
    return "".join(parts)


def _value(reference: Reference, state: State) -> Known:
    if reference.variable != "TX" or reference.key is None:
        return UNKNOWN
    return state.get(reference.key)


def integer(text: str) -> int:
    """Return the number that a text begins with, 0 if with none: C's ``atoi``."""
    text = text.lstrip(" \t\r\n\v\f")
    end = int(text[:1] in ("-", "+"))
    while end < len(text) and "0" <= text[end] <= "9":
        end += 1
    digits = text[:end]
    return int(digits) if digits.strip("+-") else 0
