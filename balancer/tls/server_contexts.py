"""How one listener speaks TLS: a context for each set of certificates, chosen by the name that the client asks for.

::

    ClientHello ──SNI──> Choice.of(name) ──> certificates of each kind of key ──> their Context; OpenSSL picks what the client can check
                              └── nobody's name: the default's, or with strict_sni the alert unrecognized_name

A context is made when the first client asks for it (a millisecond), so that ten thousand certificates cost nothing at a start. Everything may be
changed by :meth:`ServerContexts.use` while clients come and go: who is there already stays as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from cryptography import x509

from balancer.errors import BalancerError
from balancer.model.tls import ClientCertificate, TLSInfo
from balancer.tls.authorities import Authorities
from balancer.tls.callbacks import callbacks_of
from balancer.tls.choice import Choice
from balancer.tls.choosing import library_in_use
from balancer.tls.clients import client_certificate
from balancer.tls.context import Context, context_for, trust
from balancer.tls.faults import CERTIFICATE, NO_PROTOCOL, UNKNOWN_NAME, Fault
from balancer.tls.identity import Identity
from balancer.tls.library import Library, LibraryError
from balancer.tls.session import Session
from balancer.tls.tickets import TicketKeys
from balancer.tls.validation import ACME_TLS, Validations, Watch

__all__ = ["ServerContexts", "ServerSession", "ServerSettings"]

_VERIFY, _MUST = 1, 2  # SSL_VERIFY_PEER, SSL_VERIFY_FAIL_IF_NO_PEER_CERT
_OK, _FATAL, _NO_ANSWER = 0, 2, 3  # SSL_TLSEXT_ERR_…
_UNRECOGNIZED_NAME = 112
_REMEMBERED = 512
"""Of what clients ask for, how much is remembered with its answer: then all is forgotten, as somebody may ask for anything."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How a listener speaks TLS, but for its certificates.

    ``listener`` is its name, ``alpn`` the protocols offered, best first; ``client_auth`` whether clients may or must show a certificate;
    ``handshake_timeout`` and ``lifetime``, how long a session may be resumed, are in seconds; without ``tickets`` none are.
    """

    listener: str = ""
    profile: str = "intermediate"
    alpn: tuple[str, ...] = ()
    client_auth: Literal["optional", "require"] | None = None
    handshake_timeout: float = 10.0
    tickets: bool = True
    lifetime: float = 24 * 3600.0


class ServerContexts:
    """How one listener speaks TLS.

    Args:
        settings: everything that the configuration says but for certificates.
        choice: which certificates are shown to whom.
        authorities: whose certificates clients may show; for ``client_auth``.
        keys: of session tickets, the process's.
        library: OpenSSL; by default the one this process uses.
        proofs: what authorities are to be shown, as of :class:`~balancer.tls.validation.Validations`.

    Raises:
        BalancerError: if the library does not take the default certificate or the authorities.
    """

    def __init__(
        self,
        settings: ServerSettings,
        choice: Choice,
        authorities: Authorities | None = None,
        keys: TicketKeys | None = None,
        library: Library | None = None,
        proofs: Mapping[str, str] | None = None,
    ) -> None:
        self.settings = settings
        self.library = library or library_in_use()
        self.validations = Validations({} if proofs is None else proofs, self.library)
        self.keys = keys or TicketKeys()
        self._callbacks = callbacks_of(self.library)
        self._offered = tuple(name.encode("ascii") for name in settings.alpn)
        self._chosen = {name: self.library.ffi.new("unsigned char[]", name) for name in self._offered}
        self._contexts: dict[tuple[int, ...], Context] = {}
        self._asked: dict[bytes, tuple[str, Context]] = {}  # names as they came, and what answers them
        self._wanted: dict[bytes, bytes] = {}  # protocols as they came, and which was agreed on
        self._infos: dict[tuple[Any, ...], TLSInfo] = {}  # of clients that showed no certificate
        self._side = b""  # what sessions must have in common to be resumed
        self._era = self._era_now()
        self.choice = choice
        self.authorities = authorities
        self.use(choice, authorities)

    def use(self, choice: Choice, authorities: Authorities | None = None) -> None:
        """Show these certificates, and believe these authorities, to who comes from now on; raises as the constructor, and changes nothing then."""
        old = (self.choice, self.authorities, self._contexts, self._side)
        self.choice, self.authorities, self._contexts, self._asked = choice, authorities, {}, {}
        self._side = self._fingerprint()
        try:
            self._first = self._context(choice.default if not choice.strict else ())
        except (LibraryError, BalancerError) as error:
            self.choice, self.authorities, self._contexts, self._side = old
            raise BalancerError(f"OpenSSL refuses a certificate: {error}") from error
        self._staples = {each.fingerprint: each.staple for each in choice.identities if each.staple is not None}

    def _era_now(self) -> bytes:
        """Return what contexts are made anew for: of a library that makes the keys of tickets itself, each in its context."""
        return b"" if self.library.has_ticket_keys else self.keys.keys[0][:16]

    def _fingerprint(self) -> bytes:
        """Return what sessions must have in common to be resumed: the listener, and who may be a client of it."""
        digest = hashlib.sha256(repr((self.settings.listener, self.settings.client_auth)).encode())
        if self.authorities is not None and self.settings.client_auth is not None:
            for each in (*self.authorities.certificates, *self.authorities.crls):
                digest.update(each)
        return digest.digest()

    def _context(self, identities: tuple[Identity, ...]) -> Context:
        key = tuple(map(id, identities))
        found = self._contexts.get(key)
        if found is None:
            settings = self.settings
            side = (self._side, self._era, settings.alpn, settings.tickets, settings.lifetime)
            found = context_for(self.library, side, settings.profile, identities, self._equip)
            self._contexts[key] = found
        return found

    def _equip(self, context: Context) -> None:
        """Make a new context that of a server."""
        library, pointer, settings = self.library, context.pointer, self.settings
        library.cache_nothing(pointer)
        library.demand(library.SSL_CTX_set_session_id_context(pointer, self._side, len(self._side)), "session id")
        library.SSL_CTX_set_timeout(pointer, int(settings.lifetime))
        if not settings.tickets:
            library.forget_tickets(pointer)
        elif library.has_ticket_keys:
            library.lib.SSL_CTX_set_tlsext_ticket_key_evp_cb(pointer, self._callbacks.ticket)
        library.choose_by_name(pointer, self._callbacks.name)
        library.staple_by(pointer, self._callbacks.staple)
        if self._offered:
            library.SSL_CTX_set_alpn_select_cb(pointer, self._callbacks.protocol, library.null)
        if settings.client_auth is not None and self.authorities is not None:
            authorities = self.authorities
            for der in trust(context, b"".join(authorities.certificates), authorities.crls):
                with library.memory(der) as bio:
                    certificate = library.d2i_X509_bio(bio, library.null)
                library.SSL_CTX_add_client_CA(pointer, certificate)
                library.X509_free(certificate)
            mode = _VERIFY | (_MUST if settings.client_auth == "require" else 0)
            library.SSL_CTX_set_verify(pointer, mode, library.null)

    def session(self) -> ServerSession:
        """Return a session for a client that has just connected."""
        if self._era and self._era != self._era_now():
            self._era = self._era_now()
            self.use(self.choice, self.authorities)
        return (WatchedSession if self.validations.proofs else ServerSession)(self, self._first)

    # Called by OpenSSL in the middle of a handshake.

    def name_came(self, session: ServerSession, ssl: Any, alert: Any) -> int:
        """Choose the certificates for the name that the client asks for."""
        library = self.library
        pointer = library.SSL_get_servername(ssl, 0)
        asked = library.ffi.string(pointer) if pointer else b""
        found = self._asked.get(asked)
        if found is None:
            name = session.sni = asked.decode("utf-8", "replace").lower()
            identities = self.choice.of(name)
            if not identities:
                session.refusal = Fault(
                    UNKNOWN_NAME, f"no certificate for {name!r}" if name else "no name was asked for"
                )
                alert[0] = _UNRECOGNIZED_NAME
                return _FATAL
            found = (name, self._context(identities))
            _remember(self._asked, asked, found)
        session.sni, context = found
        session.context = context
        if context is not self._first:
            library.SSL_set_SSL_CTX(ssl, context.pointer)
        return _OK if asked else _NO_ANSWER

    def protocols_came(self, session: ServerSession, out: Any, out_size: Any, asked: bytes) -> int:
        """Choose the best of our protocols that the client speaks (RFC 7301 section 3.2)."""
        if session.proves:
            session.protocol = ACME_TLS.encode()
            return self.validations.protocol(out, out_size)
        known = self._wanted.get(asked)
        if known is not None:
            return self._agree(session, out, out_size, known)
        spoken = set()
        at = 0
        while at < len(asked):
            end = at + 1 + asked[at]
            spoken.add(asked[at + 1 : end])
            at = end
        for name in self._offered:
            if name in spoken:
                if len(asked) <= _REMEMBERED:
                    _remember(self._wanted, asked, name)
                return self._agree(session, out, out_size, name)
        shown = ", ".join(sorted(name.decode("latin-1") for name in spoken))
        session.refusal = Fault(
            NO_PROTOCOL, f"the client speaks {shown}, and neither of {', '.join(self.settings.alpn)}"
        )
        return _FATAL

    def _agree(self, session: ServerSession, out: Any, out_size: Any, name: bytes) -> int:
        session.protocol = name
        out[0] = self._chosen[name]
        out_size[0] = len(name)
        return _OK

    def staple_wanted(self, session: ServerSession, ssl: Any) -> int:
        """Send what the certificate's authority says of it, where that is known."""
        response = self._staples.get(session.context.shown(ssl))
        if response is None:
            return _NO_ANSWER
        self.library.staple(ssl, response)
        return _OK

    def info(self, agreed: tuple[str, str], sni: str, protocol: bytes, resumed: bool) -> TLSInfo:
        """Return what a handshake came to, of a client that showed no certificate: one value for all that came to the same."""
        key = (agreed, sni, protocol, resumed)
        found = self._infos.get(key)
        if found is None:
            found = TLSInfo(*agreed, sni, protocol.decode("ascii"), resumed)
            _remember(self._infos, key, found)
        return found

    def __repr__(self) -> str:
        return f"<ServerContexts of {self.settings.listener}: {self.choice!r} with {self.library.name}>"


def _remember(kept: dict[Any, Any], key: Any, value: Any) -> None:
    if len(kept) >= _REMEMBERED:
        kept.clear()
    kept[key] = value


class ServerSession(Session):
    """A session of ours with a client; ``sni`` is the name it asked for, in lower case, ``protocol`` what ALPN agreed on.

    ``proves`` says whether the client is an authority that is shown a proof, and nothing but that.
    """

    __slots__ = ("context", "contexts", "protocol", "proves", "refusal", "sni")

    def __init__(self, contexts: ServerContexts, context: Context) -> None:
        self.proves = False
        library = contexts.library
        self.contexts = contexts
        self.context = context
        self.sni = ""
        self.protocol = b""
        self.refusal: Fault | None = None
        ssl = library.SSL_new(context.pointer)
        super().__init__(library, ssl)
        library.SSL_set_accept_state(ssl)

    def prove(self, name: str) -> None:
        """Begin anew, as one that shows the proof for ``name``, if there is one; nothing may have come yet."""
        contexts = self.contexts
        context = contexts.validations.context(name)
        if context is None:
            return
        library = self._library
        self.context, self.sni, self.proves = context, name, True
        library.SSL_free(self._ssl)
        Session.__init__(self, library, library.SSL_new(context.pointer))
        library.SSL_set_accept_state(self._ssl)

    def _judge(self, fault: Fault) -> Fault:
        if self.refusal is not None:
            return self.refusal
        if fault.kind is CERTIFICATE:
            return Fault(CERTIFICATE, f"the client's certificate: {fault}")
        return fault

    def info(self) -> TLSInfo:
        """Return what the handshake, which is done, came to."""
        contexts = self.contexts
        shown = self.peer_certificate if contexts.settings.client_auth is not None else None
        if shown is None:
            return contexts.info(self.agreed, self.sni, self.protocol, self.resumed)
        alpn = self.protocol.decode("ascii")
        return TLSInfo(*self.agreed, self.sni, alpn, self.resumed, _client_of(shown))


class WatchedSession(ServerSession):
    """One that began while something was being proved: its client may be the authority."""

    __slots__ = ("_watch",)

    def __init__(self, contexts: ServerContexts, context: Context) -> None:
        super().__init__(contexts, context)
        self._watch = Watch()

    def receive(self, data: bytes) -> bytes:
        """Take ciphertext, and return the plaintext that it completes."""
        watch = self._watch
        return super().receive(data if watch.over else watch.look(self, data))


@lru_cache(maxsize=1024)
def _client_of(der: bytes) -> ClientCertificate:
    """Return what is known of a client's certificate; remembered, as to read one takes half a millisecond."""
    return client_certificate(x509.load_der_x509_certificate(der))
