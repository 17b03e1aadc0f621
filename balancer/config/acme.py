"""``acme:`` in ``tls:`` of a listener: certificates that an authority issues by itself, and renews (RFC 8555)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, PlainValidator, WithJsonSchema

from balancer.config.document import Document
from balancer.config.fields import PositiveDuration
from balancer.config.forms import Many
from balancer.config.raw import entries_of, get, items_of, protocol_of
from balancer.errors import Problem
from balancer.hooks.settings import LocalPath, Settings
from balancer.model.patterns import HostPattern

__all__ = ["Acme", "Eab", "automatic", "is_name"]

_NAME = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*")
_WORD = re.compile(r"[A-Za-z0-9._-]+")
_BASE64 = re.compile(r"[A-Za-z0-9_-]+")
_LEAST_KEY = 22  # characters: 128 bits
_MOST_NAMES = 100
_NAMES = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
_EMAIL = re.compile(r"[^@\s,?]+@[^@\s,?]+")


def _name(value: Any) -> str:
    if isinstance(value, str):
        try:
            host = HostPattern.parse(value)
        except ValueError:
            host = HostPattern("")
        if is_name(host):
            return str(host)
    raise ValueError(f"expected the name of a host, such as shop.example or *.shop.example, got {value!r}")


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        return (_name(value),)
    if not value:
        raise ValueError("expected the names of one certificate, got an empty list")
    if len(value) > _MOST_NAMES:
        raise ValueError(f"expected at most {_MOST_NAMES} names for one certificate, got {len(value)}")
    return tuple(dict.fromkeys(map(_name, value)))


def is_name(host: HostPattern) -> bool:
    """Whether an authority issues certificates for ``host``: a name, not an address."""
    return _NAME.fullmatch(host.name) is not None and not host.name.rpartition(".")[2].isdigit()


def _directory(value: Any) -> str:
    if isinstance(value, str) and value.isascii() and not re.search(r"\s", value):
        try:
            parts = urlsplit(value)
            port = parts.port
        except ValueError:
            port = 0
        if port != 0 and parts.scheme == "https" and parts.hostname:
            return value
    raise ValueError(f"expected the https URL of the authority's directory, got {value!r}")


def _email(value: Any) -> str:
    if isinstance(value, str) and (not value or (value.isascii() and _EMAIL.fullmatch(value))):
        return value
    raise ValueError(f"expected an address such as admin@example.org, got {value!r}")


def _agreed(value: Any) -> bool:
    if value is True:
        return True
    raise ValueError("expected true: the authority issues certificates to those only who agree to its terms of service")


def _word(value: Any) -> str:
    if isinstance(value, str) and (not value or _WORD.fullmatch(value)):
        return value
    raise ValueError(f"expected a word such as shortlived, got {value!r}")


def _key_name(value: Any) -> str:
    if isinstance(value, str) and value.strip() and value.isprintable():
        return value
    raise ValueError(f"expected the identifier of a key, got {value!r}")


def _hmac_key(value: Any) -> str:
    """The key itself must never be in a message."""
    if isinstance(value, str):
        text = value.strip().rstrip("=").replace("+", "-").replace("/", "_")
        if len(text) >= _LEAST_KEY and _BASE64.fullmatch(text) and len(text) % 4 != 1:
            return text
    raise ValueError(f"expected a key in base64url, at least {_LEAST_KEY} characters, got something else")


def _words(value: Any) -> str:
    if isinstance(value, str) and "\0" not in value:
        return value
    raise ValueError(f"expected a word, got {value!r}")


class Eab(Settings):
    """External account binding (RFC 8555 section 7.3.4): what the authority has given you for it."""

    kid: Annotated[str, PlainValidator(_key_name), WithJsonSchema({"type": "string", "minLength": 1})] = Field(
        description="The key's identifier."
    )
    hmac_key: Annotated[str, PlainValidator(_hmac_key), WithJsonSchema({"type": "string", "minLength": 22})] = Field(
        description="The key, in base64url as it was given. Use !file or ${ENV}.", repr=False
    )


class Acme(Settings):
    """Certificates from an authority that speaks ACME, such as Let's Encrypt: ordered, renewed and stored by the balancer."""

    directory: Annotated[
        str, PlainValidator(_directory), WithJsonSchema({"type": "string", "pattern": "^https://"})
    ] = Field(
        default="https://acme-v02.api.letsencrypt.org/directory",
        description="URL of the authority's directory.",
    )
    email: Annotated[str, PlainValidator(_email), WithJsonSchema({"type": "string"})] = Field(
        default="", description="Where the authority may write to."
    )
    names: (
        Annotated[tuple[Annotated[tuple[str, ...], PlainValidator(_names), WithJsonSchema(_NAMES)], ...], Many()] | None
    ) = Field(
        default=None,
        description="Names that certificates are for, one each; those in a list within the list share one. By default the exact hosts of the routes. Wildcards need dns-01.",
    )
    challenge: Literal["http-01", "tls-alpn-01", "dns-01"] = Field(
        default="http-01",
        description="How the authority sees that a name is ours. http-01: it asks port 80 of the name. tls-alpn-01: port 443, by TLS. dns-01: it looks into the DNS, where 'dns_hook' has put something.",
    )
    key_type: Literal["ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096"] = Field(
        default="ecdsa-p256", description="Kind of the certificates' keys."
    )
    profile: Annotated[str, PlainValidator(_word), WithJsonSchema({"type": "string"})] = Field(
        default="",
        description="One of the authority's profiles, such as 'shortlived' of Let's Encrypt; by default its usual one.",
    )
    preferred_chain: str = Field(
        default="",
        description="Common name of the root that the chain is to lead to, where the authority offers several; by default the one that it offers first.",
    )
    eab: Eab | None = Field(
        default=None,
        description="Binds our account to one that you have with the authority (external account binding), where it asks for that.",
    )
    storage: LocalPath = Field(
        description="Directory of the account and the certificates, which is made where it is missing; keep it, and back it up."
    )
    ca: LocalPath | None = Field(
        default=None,
        description="PEM file with the authorities that the directory's own certificate may be from; by default those that everybody believes.",
    )
    renew_before: PositiveDuration = Field(
        default=30 * 86400.0,
        description="How long before its end a certificate is renewed; at most a third of its lifetime.",
    )
    agree_terms: Annotated[bool, PlainValidator(_agreed), WithJsonSchema({"const": True})] = Field(
        description="true: you agree to the authority's terms of service."
    )
    dns_hook: Annotated[
        tuple[Annotated[str, PlainValidator(_words), WithJsonSchema({"type": "string"})], ...], Many()
    ] = Field(
        default=(),
        description="For dns-01: program and arguments, called with 'present NAME VALUE' to have a TXT record, with 'cleanup NAME VALUE' to have none.",
    )


def automatic(document: Document) -> Iterator[Problem]:
    """Keys of ``acme`` that need others."""
    for name, listener in items_of(get(document.data, "listeners")):
        tls, acme = get(listener, "tls"), get(listener, "tls", "acme")
        here: tuple[str | int, ...] = ("listeners", name, "tls")
        if isinstance(tls, dict) and tls.get("certificates") is None and acme is None:
            yield document.problem(here, "expected 'certificates', or 'acme' to have some issued", "missing")
        if not isinstance(acme, dict):
            continue
        here = (*here, "acme")
        dns = acme.get("challenge") == "dns-01"
        if dns and not acme.get("dns_hook"):
            yield document.problem(here, "expected 'dns_hook' with dns-01: a program that changes the DNS", "missing")
        elif not dns and acme.get("dns_hook"):
            message = "expected no 'dns_hook': it is for 'challenge: dns-01'"
            yield document.problem((*here, "dns_hook"), message, key=True)
        names = acme.get("names")
        if names is None and not any(_exact_hosts(listener)):
            why = "no route has an exact host" if protocol_of(listener) == "http" else "routes have no hosts here"
            yield document.problem(here, f"expected 'names': {why}", "missing")
        for place, each in () if dns else _each_name(names):
            if isinstance(each, str) and each.startswith("*."):
                message = f"expected 'challenge: dns-01' for {each}: authorities ask for it"
                yield document.problem((*here, "names", *place), message)


def _each_name(names: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Yield each name with its place below ``names``."""
    if isinstance(names, str):
        yield (), names
        return
    for at, each in entries_of(names):
        if isinstance(each, list):
            yield from (((at, within), name) for within, name in enumerate(each))
        else:
            yield (at,), each


def _exact_hosts(listener: Any) -> Iterator[HostPattern]:
    if protocol_of(listener) != "http":
        return
    for _, route in entries_of(get(listener, "routes")):
        hosts = get(route, "match", "host")
        for _, host in entries_of([hosts] if isinstance(hosts, str) else hosts):
            try:
                pattern = HostPattern.parse(host) if isinstance(host, str) else HostPattern("")
            except ValueError:
                continue
            if is_name(pattern) and not pattern.wildcard:
                yield pattern
