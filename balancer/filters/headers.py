"""The ``headers`` filter: changes header fields of the request before it goes to a server, and of the response.

::

    headers:
      request:
        remove: [X-Debug, X-Internal-*]        # a trailing * takes all names that begin so
        rename: {X-Old: X-New}
        replace: {Referer: {regex: "token=[^&]*", with: "token=…"}}
        set: {X-Team: users, X-User: "{id}"}   # exactly one field, where the first of that name stood
        add: {X-Seen-By: balancer}             # one more field; a list adds several
      response:
        set: {Strict-Transport-Security: max-age=31536000}

Within one direction the steps run in the order shown, so a client's field can be removed before another takes its
name. Other fields keep order, case and repeats. Values may hold facts and captures (:mod:`balancer.model.template`);
control characters in what is filled in are percent-encoded. In ``with``, ``\\1`` and ``\\g<name>`` stand for groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from zope.interface import implementer

from balancer.filters.replacement import ValueReplacement
from balancer.hooks.interfaces import Factory, IFilter
from balancer.hooks.settings import Settings
from balancer.model import headers as fields
from balancer.model.exchange import Exchange
from balancer.model.header_rules import MANAGED, header_name, header_value, safe_value
from balancer.model.headers import RawHeaders
from balancer.model.template import Template

__all__ = ["HEADERS", "HeaderFilter", "HeaderSettings", "HeaderSteps", "Step", "compiled", "described"]

_KEPT = MANAGED | {b"host"}
"""What a name with ``*`` never takes."""


def _name(text: str) -> str:
    header_name(text)
    return text


def _removed_name(text: str) -> str:
    if text == "*":
        raise ValueError("expected a name before the '*': not every header can go")
    header_name(text.removesuffix("*"))
    return text


def _not_host(text: str) -> str:
    if text.lower() == "host":
        raise ValueError("a request has exactly one Host: change it with 'set'")
    return text


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"expected a string; write '{str(value).lower()}' in quotes")
    return str(value) if isinstance(value, (int, float)) else value


def _value(text: str) -> str:
    Template(header_value(text).decode())
    return text


def _many(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else (value,)


Name = Annotated[str, AfterValidator(_name)]
RemovedName = Annotated[str, AfterValidator(_removed_name)]
Value = Annotated[str, BeforeValidator(_text), AfterValidator(_value), WithJsonSchema({"type": ["string", "number"]})]
Values = Annotated[
    tuple[Value, ...],
    BeforeValidator(_many),
    Field(min_length=1),
    WithJsonSchema(
        {
            "oneOf": [
                {"type": ["string", "number"]},
                {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 1},
            ]
        }
    ),
]


class HeaderSteps(Settings):
    """What to do with the header fields of one direction, in this order."""

    remove: tuple[RemovedName, ...] = Field(
        default=(), description="Fields to take out; 'X-Internal-*' means all names that begin so."
    )
    rename: Mapping[Name, Name] = Field(default={}, description="New names of fields, by old name.")
    replace: Mapping[Name, ValueReplacement] = Field(
        default={}, description="What to change inside the values, by the name of the field."
    )
    set: Mapping[Name, Value] = Field(default={}, description="Fields to have exactly once; values may hold {name}.")
    add: Mapping[Name, Values] = Field(default={}, description="Fields to add; values may hold {name}.")

    @property
    def captures(self) -> frozenset[str]:
        """The names in values that only the route's path pattern can give."""
        texts = [*self.set.values(), *(text for values in self.add.values() for text in values)]
        return frozenset().union(*(Template(text).captures for text in texts))


class RequestHeaderSteps(HeaderSteps):
    """What to do with the header fields of the request, in this order."""

    remove: tuple[Annotated[RemovedName, AfterValidator(_not_host)], ...] = Field(
        default=(), description="Fields to take out; 'X-Internal-*' means all names that begin so."
    )
    rename: Mapping[Annotated[Name, AfterValidator(_not_host)], Annotated[Name, AfterValidator(_not_host)]] = Field(
        default={}, description="New names of fields, by old name."
    )
    add: Mapping[Annotated[Name, AfterValidator(_not_host)], Values] = Field(
        default={}, description="Fields to add; values may hold {name}."
    )


class HeaderSettings(Settings):
    """Changes header fields of the request, the response, or both."""

    request: RequestHeaderSteps = Field(default=RequestHeaderSteps(), description="On the way to the server.")
    response: HeaderSteps = Field(default=HeaderSteps(), description="On the way to the client.")

    @property
    def captures(self) -> frozenset[str]:
        """The names in values that only the route's path pattern can give."""
        return self.request.captures | self.response.captures


@implementer(IFilter)
class HeaderFilter:
    """The filter. ``captures`` are the names its values need from the route's path."""

    name = "headers"
    body_limit = 0

    def __init__(self, settings: HeaderSettings) -> None:
        self.captures = settings.captures
        self._request = tuple(compiled(settings.request))
        self._response = tuple(compiled(settings.response))
        self._words = tuple(
            (direction, words)
            for direction, steps in (("request", settings.request), ("response", settings.response))
            if (words := described(steps))
        )

    def request(self, exchange: Exchange) -> None:
        """Change the request's fields."""
        for change in self._request:
            change(exchange, exchange.headers)

    def response(self, exchange: Exchange) -> None:
        """Change the response's fields."""
        for change in self._response:
            change(exchange, exchange.response_headers)

    def describe(self, exchange: Exchange) -> str:
        """Return ``request: remove X-Debug, set X-Team``."""
        return "; ".join(f"{direction}: {words}" for direction, words in self._words) or "changes nothing"

    def __repr__(self) -> str:
        return f"<HeaderFilter {'; '.join(f'{direction}: {words}' for direction, words in self._words)}>"


Step = Callable[[Exchange, RawHeaders], None]


def compiled(steps: HeaderSteps) -> Iterator[Step]:
    """Yield what changes a list of fields of an exchange as ``steps`` say."""
    if steps.remove:
        yield _remover(steps.remove)
    for old, new in steps.rename.items():
        yield _renamer(old.lower().encode(), new.encode())
    for name, replacement in steps.replace.items():
        yield _replacer(name.lower().encode(), replacement)
    for name, text in steps.set.items():
        yield _setter(name.encode(), Template(text))
    for name, texts in steps.add.items():
        for text in texts:
            yield _adder(name.encode(), Template(text))


def _remover(names: tuple[str, ...]) -> Step:
    whole = frozenset(name.lower().encode() for name in names if not name.endswith("*"))
    begins = tuple(name[:-1].lower().encode() for name in names if name.endswith("*"))

    def goes(name: bytes) -> bool:
        return name in whole or (name.startswith(begins) and name not in _KEPT)

    def remove(_exchange: Exchange, headers: RawHeaders) -> None:
        headers[:] = [pair for pair in headers if not goes(pair[0].lower())]

    return remove


def _renamer(old: bytes, new: bytes) -> Step:
    def rename(_exchange: Exchange, headers: RawHeaders) -> None:
        headers[:] = [(new, value) if name.lower() == old else (name, value) for name, value in headers]

    return rename


def _replacer(wanted: bytes, replacement: ValueReplacement) -> Step:
    change = replacement.compiled()

    def replace(_exchange: Exchange, headers: RawHeaders) -> None:
        headers[:] = [(name, change(value)) if name.lower() == wanted else (name, value) for name, value in headers]

    return replace


def _setter(name: bytes, template: Template) -> Step:
    def put(exchange: Exchange, headers: RawHeaders) -> None:
        fields.replace(headers, name, _rendered(template, exchange))

    return put


def _adder(name: bytes, template: Template) -> Step:
    def add(exchange: Exchange, headers: RawHeaders) -> None:
        headers.append((name, _rendered(template, exchange)))

    return add


def _rendered(template: Template, exchange: Exchange) -> bytes:
    if template.constant is not None:
        return template.constant
    return template.render(exchange.facts, exchange.captures, exchange.route, safe_value).strip(b" \t")


def described(steps: HeaderSteps) -> str:
    """Return ``remove X-Debug, set X-Team``."""
    words = [
        *(f"remove {name}" for name in steps.remove),
        *(f"rename {old} to {new}" for old, new in steps.rename.items()),
        *(f"replace in {name}" for name in steps.replace),
        *(f"set {name}" for name in steps.set),
        *(f"add {name}" for name in steps.add),
    ]
    return ", ".join(words)


HEADERS = Factory("headers", HeaderFilter, HeaderSettings)
"""The factory of the filter."""
