"""Regular-expression replacement inside header values: ``{regex: "token=[^&]*", with: "token=hidden"}``.

Works on the raw bytes, so that a value that is not UTF-8 cannot slip past: a ``.`` is one byte. In ``with``, ``\\1`` and
``\\g<name>`` stand for groups and ``\\\\`` for a backslash.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from pydantic import Field, model_validator

from balancer.hooks.settings import Regex, Settings
from balancer.model.header_rules import safe_value
from balancer.rewriting.expansion import Expansion, byte_regex

__all__ = ["ValueReplacement"]


class ValueReplacement(Settings):
    """What to change inside a header's value."""

    regex: Regex = Field(description="RE2 expression; every place where it is found in the value is replaced.")
    with_: str = Field(alias="with", description="What to put there; \\1 and \\g<name> stand for groups.")

    @model_validator(mode="after")
    def _usable(self) -> Self:
        self.compiled()
        return self

    def compiled(self) -> Callable[[bytes], bytes]:
        """Return a function from a value to the changed value.

        Raises:
            ValueError: for an expression that does not work on bytes, or a group in ``with`` that it does not have.
        """
        pattern = byte_regex(self.regex, latin=True)
        raw = self.with_.encode()
        if safe_value(raw) != raw:
            raise ValueError(f"expected a replacement without line breaks or control characters, got {self.with_!r}")
        expand = Expansion(self.with_, pattern).of
        return lambda value: pattern.sub(expand, value)
