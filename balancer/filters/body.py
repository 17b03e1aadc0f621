"""The ``body`` filter: text replaced in bodies as they stream, and JSON changed once it is whole.

::

    body:
      response:
        types: [text/html, text/css]
        replace:
          - {text: "http://internal:8000/", with: "https://shop.example/"}
          - {regex: "(?i)<!-- debug.*?-->", with: ""}                   # line by line
          - {regex: "(?s)<nav>.*?</nav>", with: "", across: 16KiB}      # over lines, no longer than that
      request:
        json: {remove: [/user/is_admin], set: {/source: web}}

Bodies of other types, compressed ones, and parts of one (206) pass untouched; so that there are none, ``Accept-Encoding``,
``Range`` and ``If-Range`` are taken from the request where responses are to be changed. JSON is collected up to ``limit``; what is
longer, or none, is refused: 413 or 400 for a request, 502 for a response, or cut off where that has begun. Text is compared as
UTF-8.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Annotated, Self
from typing import Literal as Only

from pydantic import AfterValidator, Field, model_validator
from zope.interface import implementer

from balancer.errors import (
    HTTP_BODY_TOO_LARGE,
    HTTP_PROTOCOL_ERROR,
    HTTP_REQUEST_ERROR,
    HTTP_RESPONSE_BODY_SIZE,
    ExchangeError,
)
from balancer.filters.bodies import weaken
from balancer.filters.json_change import JsonChange, JsonSetting, NoJsonError
from balancer.filters.substitution import Across, ByLine, Literal
from balancer.hooks.interfaces import Factory, IBodyFilter
from balancer.hooks.settings import Regex, Settings, Size
from balancer.model import headers as fields
from balancer.model.exchange import Exchange, Joined, Transform
from balancer.model.headers import RawHeaders
from balancer.rewriting.expansion import Expansion, byte_regex

__all__ = ["BODY", "Body", "BodySettings"]

_TEXTS = (
    "text/*",
    "application/json",
    "application/javascript",
    "application/xml",
    "application/xhtml+xml",
    "image/svg+xml",
)
_JSON = ("application/json", "application/*+json")
_WIDE = (b"utf-16", b"utf-32", b"ucs-2", b"iso-10646")
"""Beginnings of charsets whose text is not found by its bytes."""
_FOR_WHOLE = frozenset([b"range", b"if-range"])


def _type(text: str) -> str:
    kind, slash, _ = text.partition("/")
    if not slash or not kind or ";" in text or text != text.strip():
        raise ValueError(f"expected a type such as 'text/html' or 'text/*', got {text!r}")
    return text.lower()


class Replacement(Settings):
    """Text that is replaced by other text."""

    text: str | None = Field(default=None, description="What is replaced, as it stands.", min_length=1, max_length=4096)
    regex: Regex | None = Field(default=None, description="Or an RE2 expression; a '.' is a character of UTF-8.")
    with_: str = Field(
        alias="with", description="What to put there; for an expression \\1 and \\g<name> stand for groups."
    )
    across: Size | None = Field(
        default=None,
        description="The longest match of an expression that goes over lines; none: it is looked for line by line.",
    )

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if (self.text is None) == (self.regex is None):
            raise ValueError("expected either 'text' or 'regex'")
        if self.across is not None and (self.regex is None or not 0 < self.across <= 1024 * 1024):
            raise ValueError("expected 'across' with a 'regex', up to 1MiB")
        if self.regex is not None:
            pattern = byte_regex(self.regex)
            if pattern.search(b"") is not None:
                raise ValueError(f"expected an expression that is not found in nothing, got {self.regex!r}")
            Expansion(self.with_, pattern)
        return self

    def maker(self) -> Callable[[], Transform]:
        """Return what makes a transform for one body."""
        if self.text is not None:
            old, new = self.text.encode(), self.with_.encode()
            return lambda: Literal(old, new)
        pattern = byte_regex(self.regex or "")
        expansion = Expansion(self.with_, pattern)
        if self.across is not None:
            longest = self.across
            return lambda: Across(pattern, expansion, longest)
        return lambda: ByLine(pattern, expansion, _LONGEST_LINE)


_LONGEST_LINE = 64 * 1024


class BodyChanges(Settings):
    """What becomes of the bodies of one direction."""

    types: tuple[Annotated[str, AfterValidator(_type)], ...] = Field(
        default=(),
        description="Types that are changed, such as text/html or text/*; by default text, or JSON for 'json'.",
    )
    json_: JsonSetting | None = Field(default=None, alias="json", description="Changes to JSON, before 'replace'.")
    replace: tuple[Replacement, ...] = Field(default=(), description="Replacements, one after the other.")
    limit: Size = Field(default=1024 * 1024, description="The longest JSON text that is changed.", gt=0)
    otherwise: Only["refuse", "pass"] = Field(
        default="refuse", description="What becomes of JSON that is longer, or none: refused, or passed untouched."
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.json_ is None and not self.replace:
            raise ValueError("expected at least one of 'json' and 'replace'")
        return self


class BodySettings(Settings):
    """Changes bodies of the request, the response, or both."""

    request: BodyChanges | None = Field(default=None, description="On the way to the server.")
    response: BodyChanges | None = Field(default=None, description="On the way to the client.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.request is None and self.response is None:
            raise ValueError("expected at least one of 'request' and 'response'")
        return self


@implementer(IBodyFilter)
class Body:
    """The filter."""

    name = "body"
    body_limit = 0

    def __init__(self, settings: BodySettings) -> None:
        self._request = _Direction(settings.request, of_response=False) if settings.request is not None else None
        self._response = _Direction(settings.response, of_response=True) if settings.response is not None else None
        self._words = "; ".join(
            f"{name}: {each.text}"
            for name, each in (("request", self._request), ("response", self._response))
            if each is not None
        )

    def request(self, exchange: Exchange) -> None:
        """Ask the server for what can be changed: a whole body, not compressed."""
        if self._response is not None:
            headers = fields.without(exchange.headers, _FOR_WHOLE)
            fields.replace(headers, b"Accept-Encoding", b"identity")
            exchange.headers = headers

    def request_body(self, exchange: Exchange) -> Transform | None:
        """Return what changes the request's body, if it is of a type that is meant."""
        if self._request is None:
            return None
        length = exchange.facts.header("content-length") or ""
        return self._request.transform(exchange.headers, int(length) if length.isdigit() else 0)

    def response(self, exchange: Exchange) -> None:
        """Have the validator of what has not changed be that of what was changed."""
        if self._response is not None and exchange.status == 304:
            weaken(exchange.response_headers)

    def response_body(self, exchange: Exchange) -> Transform | None:
        """Return what changes the response's body, if it is of a type that is meant."""
        return self._response.transform(exchange.response_headers, 0) if self._response is not None else None

    def describe(self, exchange: Exchange) -> str:
        """Return ``request: json set; response: 2 replacements in text/html``."""
        return self._words

    def __repr__(self) -> str:
        return f"<Body {self._words}>"


class _Direction:
    """The changes of one direction, ready to be made."""

    def __init__(self, settings: BodyChanges, *, of_response: bool) -> None:
        types = settings.types or (_JSON if settings.json_ is not None else _TEXTS)
        self._whole = frozenset(each.encode() for each in types if "*" not in each)
        self._wild = tuple(tuple(each.encode().split(b"*", 1)) for each in types if "*" in each)
        self._json = JsonChange(settings.json_) if settings.json_ is not None else None
        self._limit = settings.limit
        self._passes = settings.otherwise == "pass"
        self._of_response = of_response
        self._makers = tuple(each.maker() for each in settings.replace)
        count = len(settings.replace)
        words = [
            *([f"json {self._json.text}"] if self._json is not None else []),
            *([f"{count} replacement{'s' if count > 1 else ''}"] if count else []),
        ]
        self.text = f"{', '.join(words)} in {', '.join(types)}"

    def transform(self, headers: RawHeaders, length: int) -> Transform | None:
        """Return what changes a body with these fields, None where it is not meant.

        Raises:
            ExchangeError: it is longer than allowed, by the length it says.
        """
        kind, _, parameters = (fields.first(headers, b"content-type") or b"").lower().partition(b";")
        kind = kind.strip()
        if not (
            kind in self._whole or any(kind.startswith(start) and kind.endswith(end) for start, end in self._wild)
        ) or any(parameters.partition(b"charset=")[2].strip(b' "').startswith(wide) for wide in _WIDE):
            return None
        transforms: list[Transform] = []
        if self._json is not None:
            whole = _Whole(self._json, self._limit, self._passes, self._of_response)
            if length > self._limit and not self._passes:
                raise whole.too_long()
            transforms.append(whole)
        transforms += [make() for make in self._makers]
        return reduce(Joined, transforms)


class _Whole:
    """Collects a JSON text, and changes it once it is whole."""

    __slots__ = ("_change", "_limit", "_of_response", "_passes", "_pieces", "_size")

    def __init__(self, change: JsonChange, limit: int, passes: bool, of_response: bool) -> None:
        self._change = change
        self._limit = limit
        self._passes = passes
        self._of_response = of_response
        self._pieces: list[bytes] | None = []  # None: it is too long, and passes
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        if self._pieces is None:
            return data
        self._pieces.append(data)
        self._size += len(data)
        if self._size <= self._limit:
            return b""
        if not self._passes:
            raise self.too_long()
        so_far, self._pieces = b"".join(self._pieces), None
        return so_far

    def end(self, trailers: RawHeaders | None) -> tuple[bytes, RawHeaders | None]:
        text = b"".join(self._pieces or [])
        if not text.strip():
            return text, trailers
        try:
            return self._change.of_text(text), trailers
        except NoJsonError as error:
            if self._passes:
                return text, trailers
            raise ExchangeError(HTTP_PROTOCOL_ERROR if self._of_response else HTTP_REQUEST_ERROR, str(error)) from None

    def too_long(self) -> ExchangeError:
        """Return what is wrong with a text that is longer than allowed."""
        reason = HTTP_RESPONSE_BODY_SIZE if self._of_response else HTTP_BODY_TOO_LARGE
        return ExchangeError(reason, f"more than {self._limit} bytes of JSON, which a filter is to change")


BODY = Factory("body", Body, BodySettings)
"""The factory of the filter."""
