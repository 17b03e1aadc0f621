"""What a request's body says, registered like a plug-in's matcher.

::

    match: {body: {form: {plan: gold}}}                                  # application/x-www-form-urlencoded
    match: {body: {json: {"/order/total": {regex: "^[0-9]{4,}$"}}}}      # by JSON pointer (RFC 6901)
    match: {body: {contains: "<soap:Envelope"}}                          # the bytes as they are; or {regex: …}

Only requests that such a route could take wait for their bodies, up to ``limit``: a longer one does not match, and goes on to whichever route takes it, whole. Bodies
that are compressed, or are not what their type says, do not match.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Self
from urllib.parse import unquote_plus

import re2
from pydantic import Field, field_validator, model_validator
from zope.interface import implementer

from balancer.hooks.interfaces import Factory, IMatcher
from balancer.hooks.settings import Regex, Settings, Size, StringMatch
from balancer.model.facts import BodyNeededError, RequestFacts

__all__ = ["BODY", "BodyMatcher", "BodySettings", "pointed"]

_FORM = "application/x-www-form-urlencoded"
_NOTHING = object()


class BodySettings(Settings):
    """Conditions on a request's body; all that are given must hold."""

    form: Mapping[str, StringMatch] = Field(
        default_factory=dict, description="Fields of a form: a string, or {prefix, suffix, contains, regex, present}."
    )
    json_: Mapping[str, StringMatch] = Field(
        default_factory=dict,
        alias="json",
        description="Values of a JSON document by pointer ('/a/b', RFC 6901): strings as they are, others as JSON writes them.",
    )
    contains: str | None = Field(default=None, description="Text that is somewhere in it, in UTF-8.", min_length=1)
    regex: Regex | None = Field(default=None, description="RE2 expression found anywhere in its bytes.")
    limit: Size = Field(default=64 * 1024, description="Longest body that is looked at; longer ones do not match.")

    @field_validator("json_")
    @classmethod
    def _pointers(cls, found: Mapping[str, StringMatch]) -> Mapping[str, StringMatch]:
        for pointer in found:
            if pointer and not pointer.startswith("/"):
                raise ValueError(f"expected a JSON pointer, which begins with '/', got {pointer!r}")
        return found

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.form or self.json_ or self.contains or self.regex):
            raise ValueError("expected one of form, json, contains, regex")
        if not 0 < self.limit <= 1024 * 1024:
            raise ValueError("expected a limit from 1B to 1MiB")
        return self


@implementer(IMatcher)
class BodyMatcher:
    """Holds where the body is so; raises :class:`~balancer.model.facts.BodyNeededError` while it is not known."""

    def __init__(self, settings: BodySettings) -> None:
        self._settings = settings
        self._form = [(name, match.compiled()) for name, match in settings.form.items()]
        self._json = [(pointer, match.compiled()) for pointer, match in settings.json_.items()]
        self._bytes = None if settings.contains is None else settings.contains.encode()
        self._search: Callable[[bytes], Any] | None = None
        if settings.regex is not None:
            options = re2.Options()
            options.log_errors = False
            options.encoding = re2.Options.Encoding.LATIN1
            self._search = re2.compile(settings.regex.encode(), options).search

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether every condition holds."""
        body = facts.body
        if body is None:
            if facts.body_over >= self._settings.limit:
                return False
            raise BodyNeededError(self._settings.limit)
        if len(body) > self._settings.limit or facts.header("content-encoding") not in (None, "", "identity"):
            return False
        return (
            (self._bytes is None or self._bytes in body)
            and (self._search is None or self._search(body) is not None)
            and (not self._form or self._form_holds(facts, body))
            and (not self._json or self._json_holds(body))
        )

    def _form_holds(self, facts: RequestFacts, body: bytes) -> bool:
        kind = (facts.header("content-type") or "").partition(";")[0].strip().lower()
        if kind != _FORM:
            return False
        fields: dict[str, list[str]] = {}
        for part in body.decode("latin-1").split("&"):
            if part:
                name, _, value = part.partition("=")
                fields.setdefault(unquote_plus(name), []).append(unquote_plus(value))
        return all(any(map(holds, fields.get(name, (None,)))) for name, holds in self._form)

    def _json_holds(self, body: bytes) -> bool:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return False
        return all(holds(pointed(document, pointer)) for pointer, holds in self._json)

    def describe(self) -> str:
        """Return ``body has form field plan: 'gold'``."""
        settings = self._settings
        parts = [f"form field {name} {match}" for name, match in settings.form.items()]
        parts += [f"JSON value {pointer or 'whole'} {match}" for pointer, match in settings.json_.items()]
        if settings.contains is not None:
            parts.append(f"text {settings.contains!r}")
        if settings.regex is not None:
            parts.append(f"bytes like {settings.regex!r}")
        return f"body has {' and '.join(parts)}"

    def __repr__(self) -> str:
        return f"<BodyMatcher {self.describe()}>"


def pointed(document: Any, pointer: str) -> str | None:
    """Return the value at ``pointer`` as text (a string as it is, others as JSON), None where there is none."""
    value = document
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(key, _NOTHING)
        elif isinstance(value, list) and key.isascii() and key.isdigit() and (key == "0" or key[0] != "0"):
            value = value[int(key)] if len(key) < 10 and int(key) < len(value) else _NOTHING
        else:
            return None
        if value is _NOTHING:
            return None
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), sort_keys=True)


BODY = Factory("body", BodyMatcher, BodySettings)
