"""``tls:`` of a listener: which certificates are shown to whom, how strictly, and what clients have to show.

Only what can be said without reading the files is checked here; the files are read when the configuration is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, GetJsonSchemaHandler, PlainValidator, WithJsonSchema, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from balancer.config.acme import Acme, automatic
from balancer.config.document import Document
from balancer.config.fields import Flag, Port, PositiveDuration
from balancer.config.forms import Many, Switch, given, short
from balancer.config.raw import entries_of, get, items_of, protocol_of
from balancer.errors import Problem
from balancer.hooks.settings import Duration, LocalPath, Settings
from balancer.model.suggestions import did_you_mean
from balancer.model.units import parse_duration

__all__ = ["Certificate", "ClientAuth", "Hsts", "ListenerTls", "RedirectHttps", "Tickets", "encryption"]

_STATUSES = (301, 302, 303, 307, 308)
_HTTPS_PORT = 443
_YEAR = 365 * 86400.0
_SPOKEN = ("h2", "http/1.1")


class Certificate(Settings):
    """A certificate with its key. A bare string is a file with both, a pattern such as 'certs/*.pem', or a directory."""

    cert: LocalPath = Field(
        description="PEM file: the certificate, then its chain. Without 'key': its key too, or the key in a file beside it (shop.pem, shop.key); or a pattern, or a directory."
    )
    key: LocalPath | None = Field(default=None, description="PEM file with the key, not encrypted; mode 0600 or 0640.")
    chain: LocalPath | None = Field(
        default=None, description="PEM file with the rest of the chain, where 'cert' is the certificate alone."
    )

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"cert": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return short(handler(schema), {"type": "string"})


class ClientAuth(Settings):
    """Certificates that clients have to show, or may."""

    mode: Literal["optional", "require"] = Field(
        default="require",
        description="require: a client without a good certificate is refused. optional: it may come without one; a wrong one is refused.",
    )
    ca: LocalPath = Field(description="PEM file with the authorities whose certificates are accepted.")
    crl: LocalPath | None = Field(
        default=None, description="PEM file with the authorities' lists of revoked certificates."
    )
    headers: Flag = Field(
        default=True,
        description="Tell HTTP servers in X-Client-Cert-* and Client-Cert (RFC 9440); what clients send under these names is dropped.",
    )


class Tickets(Settings):
    """Session tickets, by which clients that come again save half the handshake."""

    rotate: PositiveDuration = Field(
        default=12 * 3600.0,
        description="A new key so often, for all listeners the shortest; the two before are still taken.",
    )


class ListenerTls(Settings):
    """How a listener speaks TLS."""

    certificates: Annotated[tuple[Certificate, ...], Many()] = Field(
        default=(),
        description="Certificates, chosen by the name that a client asks for; RSA and ECDSA for one name side by side.",
    )
    acme: Acme | None = Field(default=None, description="Certificates ordered from an authority, and renewed.")
    default: str = Field(
        default="",
        description="Shown to clients that ask for no name or an unknown one: a host, or a certificate's file as written. By default the first.",
    )
    strict_sni: Flag = Field(default=False, description="Refuse clients that ask for no name or an unknown one.")
    profile: Literal["intermediate", "modern"] = Field(
        default="intermediate",
        description="Mozilla's: intermediate is TLS 1.2 and 1.3, modern is TLS 1.3 alone.",
    )
    alpn: Annotated[tuple[str, ...], Many(empty=True)] | None = Field(
        default=None,
        description="Protocols offered, best first; HTTP: h2 and http/1.1 by default, as far as the listener speaks them. TCP: none.",
    )
    client_auth: ClientAuth | None = Field(default=None, description="Certificates that clients have to show, or may.")
    handshake_timeout: PositiveDuration = Field(default=10.0, description="How long a handshake may take.")
    tickets: Annotated[Tickets | None, Switch()] = Field(
        default=Tickets(), description="Session tickets; false: every connection has a whole handshake."
    )
    ocsp: Flag = Field(
        default=True,
        description="Fetch and staple what a certificate's authority says of it, where the certificate names where to ask.",
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "allOf": [{"anyOf": [given("certificates"), given("acme")]}]}


def _status(value: Any) -> int:
    if value in _STATUSES and not isinstance(value, bool):
        return int(value)
    raise ValueError(f"expected one of {', '.join(map(str, _STATUSES))}, got {value!r}")


class RedirectHttps(Settings):
    """Sends clients to the same address by https. A bare number is the port."""

    port: Port = Field(default=_HTTPS_PORT, description="Port of https; left out of addresses where it is 443.")
    status: Annotated[int, PlainValidator(_status), WithJsonSchema({"enum": list(_STATUSES)})] = Field(
        default=308, description="Status of the answer; 308 and 307 keep method and body."
    )

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"port": value} if isinstance(value, int) and not isinstance(value, bool) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return short(handler(schema), {"type": "integer", "minimum": 1, "maximum": 65535})


class Hsts(Settings):
    """Strict-Transport-Security: browsers come by https only from now on (RFC 6797)."""

    max_age: Annotated[Duration, Field(ge=0, allow_inf_nan=False)] = Field(
        default=_YEAR, description="How long browsers remember it; 0: forget it."
    )
    include_subdomains: Flag = Field(default=False, description="For every name below the host too.")
    preload: Flag = Field(default=False, description="Ask for a place in browsers' own lists; hard to undo.")


def encryption(document: Document) -> Iterator[Problem]:
    """Keys of TLS that mean nothing beside others, or on a listener of that protocol."""
    yield from automatic(document)
    for name, listener in items_of(get(document.data, "listeners")):
        here = ("listeners", name)
        protocol = protocol_of(listener)
        tls = get(listener, "tls")
        if protocol == "http":
            yield from _scheme(document, name, listener)
            for at, spoken in entries_of(get(tls, "alpn")):
                if isinstance(spoken, str) and spoken not in _SPOKEN:
                    message = f"expected h2 or http/1.1, got {spoken!r}{did_you_mean(spoken, _SPOKEN)}"
                    yield document.problem((*here, "tls", "alpn", at), message)
        elif protocol == "tcp" and get(tls, "client_auth", "headers") is not None:
            message = "expected no 'headers' here: there are none in TCP sessions"
            yield document.problem((*here, "tls", "client_auth", "headers"), message, key=True)
        if get(tls, "strict_sni") is True and get(tls, "default"):
            message = "expected no 'default' beside 'strict_sni': clients that would be shown it are refused"
            yield document.problem((*here, "tls", "default"), message, key=True)


def _scheme(document: Document, name: str, listener: Any) -> Iterator[Problem]:
    """``redirect_https`` is for listeners without TLS, ``hsts`` for those with it."""
    here = ("listeners", name)
    encrypted = get(listener, "tls") is not None
    if get(listener, "http2") is False:
        for at, spoken in entries_of(get(listener, "tls", "alpn")):
            if spoken == "h2":
                message = "expected no h2 beside 'http2: false'"
                yield document.problem((*here, "tls", "alpn", at), message)
    if get(listener, "redirect_https") not in (None, False) and encrypted:
        message = "expected no 'redirect_https' beside 'tls': clients come by https here"
        yield document.problem((*here, "redirect_https"), message, key=True)
    if get(listener, "hsts") not in (None, False) and not encrypted:
        message = "expected 'hsts' on a listener with 'tls': browsers heed it by https only (RFC 6797 section 8.1)"
        yield document.problem((*here, "hsts"), message, key=True)
    if get(listener, "hsts", "preload") is True:
        age = get(listener, "hsts", "max_age")
        subdomains = get(listener, "hsts", "include_subdomains") is True
        try:
            long_enough = age is None or parse_duration(age) >= _YEAR
        except ValueError:
            return
        if not subdomains or not long_enough:
            message = "expected include_subdomains and a max_age of at least 365d with 'preload': browsers' lists ask for both"
            yield document.problem((*here, "hsts", "preload"), message, key=True)
