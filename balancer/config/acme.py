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

__all__ = ["Acme", "automatic", "is_name"]

_NAME = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*")
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


def _words(value: Any) -> str:
    if isinstance(value, str) and "\0" not in value:
        return value
    raise ValueError(f"expected a word, got {value!r}")


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
        Annotated[tuple[Annotated[str, PlainValidator(_name), WithJsonSchema({"type": "string"})], ...], Many()] | None
    ) = Field(
        default=None,
        description="Names that certificates are for, one each; by default the exact hosts of the routes. Wildcards need dns-01.",
    )
    challenge: Literal["http-01", "dns-01"] = Field(
        default="http-01",
        description="How the authority sees that a name is ours. http-01: it asks port 80 of the name. dns-01: it looks into the DNS, where 'dns_hook' has put something.",
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
        for at, each in entries_of([names] if isinstance(names, str) else names):
            if isinstance(each, str) and each.startswith("*.") and not dns:
                place = (*here, "names") if isinstance(names, str) else (*here, "names", at)
                yield document.problem(place, f"expected 'challenge: dns-01' for {each}: authorities ask for it")


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
