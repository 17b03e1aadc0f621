"""How the connection is protected, and who the client has proved to be. Registered like a plug-in's matchers.

::

    match: {sni: "*.example.org"}
    match: {tls_version: "1.3"}
    match: {client_certificate: true}                                   # a verified one, whichever
    match: {client_certificate: {subject: {contains: "O=Example"}, san: {prefix: "spiffe://example.org/"}}}

Requests that came without TLS, or without what is asked for, do not match. No header that a client sends has a say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainValidator, StrictBool, WithJsonSchema, model_validator
from zope.interface import implementer

from balancer.hooks.interfaces import Factory, IMatcher
from balancer.hooks.settings import Settings, StringMatch
from balancer.model.facts import RequestFacts
from balancer.model.patterns import HostPattern
from balancer.model.tls import ClientCertificate
from balancer.routing.matchers.host import host_matches

__all__ = ["CLIENT_CERTIFICATE", "SNI", "TLS_VERSION", "ClientCertificateMatcher", "SniMatcher", "TLSVersionMatcher"]

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def _many(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else (value,)


def _several(item: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"oneOf": [item, {"type": "array", "items": item, "minItems": 1}]})


def _fingerprint(text: Any) -> str:
    plain = text.lower().replace(":", "").removeprefix("sha256/") if isinstance(text, str) else ""
    if not _FINGERPRINT.fullmatch(plain):
        raise ValueError(
            f"expected a SHA-256 fingerprint of 64 hexadecimal digits, with or without colons, got {text!r}"
        )
    return plain


def _host(text: Any) -> HostPattern:
    if isinstance(text, HostPattern):
        return text
    if not isinstance(text, str):
        raise ValueError(f"expected a host name such as 'shop.example' or '*.example.org', got {text!r}")
    return HostPattern.parse(text)


_HEX = {"type": "string", "pattern": "^[0-9A-Fa-f:]+$"}
_NAMES = {"type": "string", "examples": ["shop.example", "*.example.org"]}


class ClientCertificateSettings(Settings):
    """The certificate that the client has proved to have; true means any, false none."""

    present: StrictBool | None = Field(default=None, description="Whether there is one at all.")
    subject: StringMatch | None = Field(default=None, description="Its subject, as in RFC 4514: 'CN=alice,O=Example'.")
    issuer: StringMatch | None = Field(default=None, description="Who issued it, in the same form.")
    san: StringMatch | None = Field(
        default=None,
        description="One of its alternative names, with or without its kind: 'email:alice@example.org', 'spiffe://example.org/a'.",
    )
    fingerprint: Annotated[
        tuple[Annotated[str, PlainValidator(_fingerprint)], ...],
        BeforeValidator(_many),
        Field(min_length=1),
        _several(_HEX),
    ] = Field(default=(), description="SHA-256 of the certificate in hexadecimal; a list means any of them.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("expected true, false or one of subject, issuer, san, fingerprint, present")
        if self.present is False and len(self.model_fields_set) > 1:
            raise ValueError("expected nothing beside 'present: false': a certificate that is not there has no subject")
        return self


@implementer(IMatcher)
class ClientCertificateMatcher:
    """Holds where the client has proved to have a certificate of that kind."""

    __slots__ = ("_fingerprints", "_issuer", "_san", "_settings", "_subject")

    def __init__(self, settings: ClientCertificateSettings) -> None:
        self._settings = settings
        self._subject = settings.subject.compiled() if settings.subject is not None else None
        self._issuer = settings.issuer.compiled() if settings.issuer is not None else None
        self._san = settings.san.compiled() if settings.san is not None else None
        self._fingerprints = frozenset(settings.fingerprint)

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether the connection's certificate is such a one."""
        client = facts.tls.client if facts.tls is not None else None
        if client is None:
            return self._settings.present is False
        return self._settings.present is not False and self._fits(client)

    def _fits(self, client: ClientCertificate) -> bool:
        return (
            (not self._fingerprints or client.fingerprint in self._fingerprints)
            and (self._subject is None or self._subject(client.subject))
            and (self._issuer is None or self._issuer(client.issuer))
            and (self._san is None or self._names(client))
        )

    def _names(self, client: ClientCertificate) -> bool:
        holds = self._san
        assert holds is not None
        names = [*client.names, *(name.partition(":")[2] for name in client.names)]
        return any(map(holds, names)) if names else bool(holds(None))

    def describe(self) -> str:
        """Return ``client certificate with subject …``."""
        settings = self._settings
        if settings.present is False:
            return "no client certificate"
        parts = [
            f"{name} {value}" if value.model_fields_set == {"exact"} else f"{name}: {value}"
            for name in ("subject", "issuer", "san")
            if (value := getattr(settings, name)) is not None
        ]
        if settings.fingerprint:
            parts.append(f"fingerprint {' or '.join(text[:16] + '…' for text in settings.fingerprint)}")
        return f"client certificate with {' and '.join(parts)}" if parts else "a client certificate"

    def __repr__(self) -> str:
        return f"<ClientCertificateMatcher {self.describe()}>"


class SniSettings(Settings):
    """The name that the client asked for in its TLS handshake."""

    names: Annotated[
        tuple[Annotated[HostPattern, PlainValidator(_host)], ...],
        BeforeValidator(_many),
        Field(min_length=1),
        _several(_NAMES),
    ] = Field(description="Name, exact or '*.example.org'; a list means any of them.")


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class SniMatcher:
    """Holds where the handshake was for one of ``names``."""

    names: tuple[HostPattern, ...]

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether the client asked for one of the names."""
        sni = facts.tls.sni if facts.tls is not None else ""
        return bool(sni) and any(host_matches(name, sni) for name in self.names)

    def describe(self) -> str:
        """Return ``SNI is a.example or *.b.example``."""
        return f"SNI is {' or '.join(map(str, self.names))}"


class TLSVersionSettings(Settings):
    """The version of TLS that was agreed on."""

    versions: Annotated[
        tuple[Literal["1.2", "1.3"], ...],
        BeforeValidator(_many),
        Field(min_length=1),
        _several({"enum": ["1.2", "1.3"]}),
    ] = Field(description="'1.2' or '1.3', in quotes; a list means any of them.")


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class TLSVersionMatcher:
    """Holds where the connection speaks one of ``versions``."""

    versions: tuple[str, ...]

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether the connection's version is one of those."""
        return facts.tls is not None and facts.tls.version.removeprefix("TLSv") in self.versions

    def describe(self) -> str:
        """Return ``TLS is 1.2 or 1.3``."""
        return f"TLS is {' or '.join(self.versions)}"


CLIENT_CERTIFICATE = Factory("client_certificate", ClientCertificateMatcher, ClientCertificateSettings, "present")
SNI = Factory("sni", lambda settings: SniMatcher(settings.names), SniSettings, "names")
TLS_VERSION = Factory(
    "tls_version", lambda settings: TLSVersionMatcher(settings.versions), TLSVersionSettings, "versions"
)
