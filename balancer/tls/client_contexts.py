"""How TLS is spoken with the servers of a pool: whom to believe, what to call them, what to show them.

A server proves with its certificate that it is called what we call it (service-identity, RFC 9525): ``server_name`` of the pool, else the
DNS name it was given by, else its IP address. The authorities are a file of the pool's, else those of the operating system.
"""

from __future__ import annotations

import ipaddress
import ssl as python_ssl
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import service_identity
from cryptography import x509
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

from balancer.errors import BalancerError
from balancer.model.tls import TLSInfo
from balancer.tls.callbacks import callbacks_of
from balancer.tls.choosing import library_in_use
from balancer.tls.context import Context, context_for, trust
from balancer.tls.faults import CERTIFICATE, Fault
from balancer.tls.identity import Identity
from balancer.tls.library import Library, LibraryError
from balancer.tls.names import normal_name
from balancer.tls.session import Session

__all__ = ["ClientContext", "ClientSession", "ClientSettings"]

_VERIFY = 1  # SSL_VERIFY_PEER
_MOST_SESSIONS = 256
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How TLS is spoken with servers.

    ``ca`` are the authorities' certificates (PEM), None for the operating system's; ``server_name`` what all servers are called, ``""`` for
    each what it was given by; ``identity`` is shown to servers that ask; ``alpn`` protocols, best first.
    """

    verify: bool = True
    ca: bytes | None = None
    server_name: str = ""
    identity: Identity | None = None
    profile: str = "intermediate"
    alpn: tuple[str, ...] = ()


class ClientContext:
    """How TLS is spoken with the servers of one pool.

    Raises:
        BalancerError: if the library does not take the certificates.
    """

    def __init__(self, settings: ClientSettings, library: Library | None = None) -> None:
        self.settings = settings
        self.library = library or library_in_use()
        self._sessions: OrderedDict[tuple[str, str, tuple[str, ...]], Any] = OrderedDict()
        identities = () if settings.identity is None else (settings.identity,)
        side = ("client", settings.verify, settings.ca)
        try:
            self._context = context_for(self.library, side, settings.profile, identities, self._equip)
        except LibraryError as error:
            raise BalancerError(f"OpenSSL refuses a certificate: {error}") from error

    def _equip(self, context: Context) -> None:
        library, settings = self.library, self.settings
        if not settings.verify:
            return
        if settings.ca is not None:
            if not trust(context, settings.ca):
                raise BalancerError("there is no certificate of an authority in 'ca'")
        else:
            trust_system(context)
        library.SSL_CTX_set_verify(context.pointer, _VERIFY, callbacks_of(library).verified)

    def name_of(self, host: str) -> str:
        """Return what a server given by ``host`` (name, IP address, or ``""`` for a unix socket) has to be called."""
        return normal_name(self.settings.server_name or host or "localhost")

    def session(self, host: str, place: str = "", alpn: tuple[str, ...] | None = None) -> ClientSession:
        """Return a session with the server at ``host``, which has not said anything yet.

        ``place`` is where sessions are remembered for, the server's address; ``alpn`` is offered instead of the settings'.
        """
        return ClientSession(self, self.name_of(host), place or host, self.settings.alpn if alpn is None else alpn)

    # Sessions to go on with.

    def remembered(self, key: tuple[str, str, tuple[str, ...]]) -> Any:
        """Return the session to go on with, None if there is none."""
        return self._sessions.get(key)

    def remember(self, key: tuple[str, str, tuple[str, ...]], session: Any) -> None:
        """Keep ``session``, which is freed with this object or when another takes its place."""
        self._sessions[key] = self.library.ffi.gc(session, self.library.SSL_SESSION_free)
        self._sessions.move_to_end(key)
        if len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)

    def forget(self, key: tuple[str, str, tuple[str, ...]]) -> None:
        """Do not go on with what is remembered: it led to nothing."""
        self._sessions.pop(key, None)

    def __repr__(self) -> str:
        settings = self.settings
        trusted = (
            "nobody verified"
            if not settings.verify
            else "own authorities"
            if settings.ca
            else "the system's authorities"
        )
        return f"<ClientContext {trusted} with {self.library.name}>"


class ClientSession(Session):
    """A session of ours with a server, which has to be called ``name``."""

    __slots__ = ("_alpn", "_key", "_refusal", "_remembers", "context", "name")

    def __init__(self, context: ClientContext, name: str, place: str, alpn: tuple[str, ...]) -> None:
        library = context.library
        self.context = context
        self.name = name
        self._alpn = alpn
        self._key = (name, place, alpn)
        self._remembers = False
        self._refusal: Fault | None = None
        ssl = library.SSL_new(context._context.pointer)
        super().__init__(library, ssl)
        library.SSL_set_connect_state(ssl)
        if not _is_ip(name):
            library.ask_for(ssl, name.encode("idna" if not name.isascii() else "ascii"))
        if alpn:
            offered = b"".join(bytes([len(each)]) + each.encode("ascii") for each in alpn)
            library.SSL_set_alpn_protos(ssl, offered, len(offered))
        earlier = context.remembered(self._key)
        if earlier is not None:
            library.SSL_set_session(ssl, earlier)

    def receive(self, data: bytes) -> bytes:
        """Take ciphertext, and return the plaintext that it completes."""
        plain = super().receive(data)
        if plain and not self._remembers:  # by now the server has sent what to go on with, if it ever does
            self._remembers = True
            session = self._library.SSL_get1_session(self._ssl)
            if session:
                self.context.remember(self._key, session)
        return plain

    def refuses(self, shown: bytes) -> bool:
        """Return whether ``shown``, the server's certificate (DER), is somebody else's; asked while an alert can still say so."""
        wrong = _why_not(shown, self.name)
        if wrong:
            self._refusal = Fault(CERTIFICATE, wrong)
        return bool(wrong)

    def _accepts(
        self,
    ) -> Fault | None:  # once more, for sessions that are gone on with: nobody has looked at their certificate
        if not self.context.settings.verify:
            return None
        shown = self.peer_certificate
        wrong = "the server shows none" if shown is None else _why_not(shown, self.name)
        return Fault(CERTIFICATE, wrong) if wrong else None

    def _judge(self, fault: Fault) -> Fault:
        self.context.forget(self._key)
        return self._refusal or fault

    def info(self) -> TLSInfo:
        """Return what the handshake, which is done, came to."""
        sni = "" if _is_ip(self.name) else self.name
        return TLSInfo(*self.agreed, sni, self.alpn if self._alpn else "", self.resumed)


def trust_system(context: Context) -> None:
    """Have ``context`` accept the authorities that the operating system does.

    Raises:
        LibraryError: if there are none.
    """
    library = context.library
    paths = python_ssl.get_default_verify_paths()
    file = paths.cafile or next((path for path in _BUNDLES if Path(path).is_file()), None)
    folder = paths.capath
    if file is None and folder is None:
        raise LibraryError("the operating system has no file with authorities: say which to believe with 'ca'")
    library.demand(
        library.SSL_CTX_load_verify_locations(
            context.pointer,
            library.null if file is None else file.encode(),
            library.null if folder is None else folder.encode(),
        ),
        "the system's authorities",
    )


@lru_cache(maxsize=4096)
def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def _why_not(der: bytes, name: str) -> str:
    """Return why a certificate is not one for ``name``, "" if it is; remembered, as to read one takes half a millisecond."""
    certificate = x509.load_der_x509_certificate(der)
    try:
        if _is_ip(name):
            verify_certificate_ip_address(certificate, name)
        else:
            verify_certificate_hostname(certificate, name)
    except service_identity.VerificationError:
        return f"the certificate is not for {name} but for {_names_in(certificate)}"
    except (service_identity.CertificateError, ValueError) as error:
        return f"the certificate names nobody: {error}"
    return ""


def _names_in(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return "nobody"
    shown = [str(name.value) for name in names]
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")
