"""Field types of the schema: what a single value may look like, with the error an operator reads if it does not."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import (
    Field,
    PlainValidator,
    StrictBool,
    StrictInt,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from balancer.config.endpoints import ENDPOINT, check_endpoint
from balancer.hooks.plugged import Pluggable, Plugged, invalid
from balancer.hooks.settings import NAME, Duration, Size, read_regex
from balancer.model.address import Address, IPAddress
from balancer.model.patterns import HostPattern, Network, PathPattern, parse_network
from balancer.model.suggestions import did_you_mean

__all__ = [
    "AccessLogFormat",
    "Algorithm",
    "BindAddress",
    "Cidr",
    "Count",
    "Filter",
    "Flag",
    "FlagSource",
    "GivenName",
    "HeaderName",
    "HeaderValue",
    "Host",
    "Ip",
    "Method",
    "Name",
    "Path",
    "Percent",
    "Port",
    "Positive",
    "PositiveDuration",
    "PositiveSize",
    "Probe",
    "Protocol",
    "Resource",
    "ServerAddress",
    "ServerName",
]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MISNOMERS = {
    "http2": "h2",
    "http/2": "h2",
    "http/2.0": "h2",
    "http": "http/1.1",
    "http1": "http/1.1",
    "http1.1": "http/1.1",
}
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT")


def _text(what: str, parse: Callable[[str], Any], kind: Any = None) -> PlainValidator:
    """Return a validator that reads text with ``parse``, whose ValueErrors say what was expected."""

    def read(value: Any) -> Any:
        if isinstance(value, str):
            return parse(value)
        if kind is not None and isinstance(value, kind):
            return value
        raise PydanticCustomError("not_text", "expected {what}", {"what": what})

    return PlainValidator(read)


class GivenName(str):
    """A name that we gave, ``web[2]``; of a form that nobody can choose, so that the two never collide."""


def _name(text: str) -> str:
    if isinstance(text, GivenName):
        return str(text)
    if not NAME.fullmatch(text):
        raise ValueError(
            f"expected a name of letters, digits, '_', '.' and '-' that begins with a letter or digit, got {text!r}"
        )
    return text


def _bind(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if host == "*" and port.isascii() and port.isdigit():
        Address.parse(f"localhost:{port}")
    elif ENDPOINT.fullmatch(text):
        check_endpoint(text)
    else:
        if not host and colon:
            raise ValueError(f"expected an address before the port, such as '0.0.0.0{text}' or '*{text}'")
        if host.startswith("[") and "%" in host:
            Address.parse(f"{host.partition('%')[0]}]:{port}")
        else:
            Address.parse(text)
    return text


def _server_address(text: str) -> Address:
    address = Address.parse(text)
    if not address.path and address.port == 0:
        raise ValueError(f"expected a port from 1 to 65535, got {text!r}")
    return address


def _method(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"expected a method such as GET, got {text!r}")
    if text.upper() in _METHODS and text not in _METHODS:
        raise ValueError(f"expected a method in capitals: did you mean '{text.upper()}'?")
    return text


def _header_name(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"expected the name of a header, got {text!r}")
    return text


def _lower_header_name(text: str) -> str:
    return _header_name(text).lower()


def _header_value(text: str) -> str:
    if any((ord(character) < 32 and character != "\t") or ord(character) == 127 for character in text):
        raise ValueError("expected a header's value on one line, without control characters")
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("expected a header's value in Latin-1 characters") from None
    return text


def _server_name(text: str) -> HostPattern:
    pattern = HostPattern.parse(text)
    if ":" in pattern.name or pattern.name[-1].isdecimal():
        raise ValueError(f"expected a name, as TLS clients do not ask for an address, got {text!r}")
    return pattern


def _protocol(text: str) -> str:
    if not (0 < len(text) <= 255 and text.isascii() and text.isprintable()) or " " in text:
        raise ValueError(f"expected a protocol's name as in ALPN, such as h2 or http/1.1, got {text!r}")
    if text.lower() in _MISNOMERS:
        raise ValueError(
            f"expected a protocol's name as in ALPN, got {text!r}; did you mean '{_MISNOMERS[text.lower()]}'?"
        )
    return text


def _path(value: Any) -> PathPattern:
    if isinstance(value, PathPattern):
        return value
    if isinstance(value, str):
        return PathPattern.parse(value)
    if isinstance(value, dict):
        if set(value) != {"regex"}:
            other = next((key for key in value if key != "regex"), "")
            hint = " (a prefix is written '/a/**')" if other == "prefix" else did_you_mean(other, ["regex"])
            raise ValueError(f"expected a path, or {{regex: …}} with nothing beside it{hint}")
        try:
            return PathPattern.regex(read_regex(value["regex"]))
        except ValueError as error:
            raise invalid(str(error), "regex") from None
    raise ValueError("expected a path such as '/a', '/a/**' or '/users/{id}', or {regex: …}")


def _ip(text: str) -> IPAddress:
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        raise ValueError(f"expected an IP address, got {text!r}") from None


def _percent(value: Any) -> float:
    if isinstance(value, str):
        found = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)\s?%", value)
        if found and float(found[1]) <= 100:
            return float(found[1]) / 100
    if value == 0 and not isinstance(value, bool):
        return 0.0
    raise ValueError(f"expected a percentage from '0%' to '100%', got {value!r}")


def _positive(seconds: float) -> float:
    if not 0 < seconds < float("inf"):
        raise ValueError("expected a duration longer than 0")
    return seconds


Flag = StrictBool
"""``true`` or ``false``."""

Count = Annotated[StrictInt, Field(ge=0)]
"""A whole number, 0 or more."""

Positive = Annotated[StrictInt, Field(ge=1)]
"""A whole number, 1 or more."""

Port = Annotated[StrictInt, Field(ge=1, le=65535)]
"""A port number."""

PositiveSize = Annotated[Size, Field(ge=1)]
"""Bytes, at least one."""

PositiveDuration = Annotated[Duration, Field(gt=0, allow_inf_nan=False)]
"""Seconds, more than none."""

Percent = Annotated[
    float,
    PlainValidator(_percent),
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "pattern": r"^\d+(\.\d+)?\s?%$",
            "minimum": 0,
            "maximum": 0,
            "examples": ["20%"],
            "x-unit": "percent",
        }
    ),
]
"""A share from 0.0 to 1.0, written ``20%``."""

Name = Annotated[str, _text("a name", _name), WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"})]
"""The name of a listener, route, pool or server."""

BindAddress = Annotated[
    str,
    _text("an address such as '0.0.0.0:80'", _bind),
    WithJsonSchema({"type": "string", "examples": ["0.0.0.0:8080", "[::]:8080", "*:8080", "unix:/run/app.sock"]}),
]
"""Where to listen: ``host:port``, ``*:port``, ``unix:/path`` or a Twisted endpoint description."""

ServerAddress = Annotated[
    Address,
    _text("an address such as '10.0.0.1:8000'", _server_address, Address),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.1:8000", "app.example:8000", "unix:/run/app.sock"]}),
]
"""Where a server is: an IP address or name with a port, or a unix socket."""

Cidr = Annotated[
    Network,
    _text("an address or network such as '10.0.0.0/8'", parse_network, ipaddress.IPv4Network | ipaddress.IPv6Network),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]}),
]
"""A network in CIDR notation, or one address."""

Ip = Annotated[
    IPAddress, _text("an IP address", _ip, IPAddress), WithJsonSchema({"type": "string", "examples": ["192.0.2.7"]})
]
"""An IP address."""

Host = Annotated[
    HostPattern,
    _text("a host name such as 'shop.example' or '*.example.org'", HostPattern.parse, HostPattern),
    WithJsonSchema({"type": "string", "examples": ["shop.example", "*.example.org"]}),
]
"""A host, exact or ``*.example.org``."""

ServerName = Annotated[
    HostPattern,
    _text("a name such as 'shop.example' or '*.example.org'", _server_name, HostPattern),
    WithJsonSchema({"type": "string", "examples": ["shop.example", "*.example.org"]}),
]
"""A name that TLS clients ask for, exact or ``*.example.org``."""

Protocol = Annotated[
    str,
    _text("a protocol's name such as h2", _protocol),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 255, "examples": ["h2", "http/1.1"]}),
]
"""A protocol, as in ALPN."""

Path = Annotated[
    PathPattern,
    PlainValidator(_path),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": "^/", "examples": ["/a", "/a/**", "/users/{id}"]},
                {
                    "type": "object",
                    "properties": {"regex": {"type": "string", "format": "regex"}},
                    "required": ["regex"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
"""A path: ``/a`` exact, ``/a/**`` prefix, ``/users/{id}`` template, ``{regex: …}``."""

Method = Annotated[str, _text("a method such as GET", _method), WithJsonSchema({"type": "string"})]
"""An HTTP method."""

HeaderName = Annotated[str, _text("the name of a header", _lower_header_name), WithJsonSchema({"type": "string"})]
"""The name of a header, kept in lower case."""

HeaderValue = Annotated[
    str, _text("a header's value as text (quote a number)", _header_value), WithJsonSchema({"type": "string"})
]
"""The value of a header: one line."""

Algorithm = Annotated[Plugged, Pluggable("algorithms")]
Filter = Annotated[Plugged, Pluggable("filters")]
Probe = Annotated[Plugged, Pluggable("probes")]
Resource = Annotated[Plugged, Pluggable("resources")]
AccessLogFormat = Annotated[Plugged, Pluggable("access_log_formats")]
FlagSource = Annotated[Plugged, Pluggable("flags")]
