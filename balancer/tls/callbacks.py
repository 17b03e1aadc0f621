"""What OpenSSL asks in the middle of a handshake, one set of functions for each library.

A handshake is one call into OpenSSL and none runs inside another: so :attr:`Library.now`, set around that call, says whose question it is, and
no table of connections is needed. An exception in one of these ends the handshake, and is logged.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from balancer.tls.library import Library
from balancer.tls.tickets import read_tickets_with

__all__ = ["Callbacks", "callbacks_of"]

_FATAL = 2  # SSL_TLSEXT_ERR_ALERT_FATAL
_MISMATCH = 62  # X509_V_ERR_HOSTNAME_MISMATCH, for which the alert bad_certificate is sent

_log = Logger()


class Callbacks:
    """Functions for OpenSSL; to be kept as long as any context has them, which is for good."""

    def __init__(self, library: Library) -> None:
        ffi = library.ffi

        def name(ssl: Any, alert: Any, _arg: Any) -> int:
            session = library.now
            return session.contexts.name_came(session, ssl, alert)  # type: ignore[no-any-return]

        def protocol(_ssl: Any, out: Any, out_size: Any, asked: Any, size: int, _arg: Any) -> int:
            session = library.now
            return session.contexts.protocols_came(session, out, out_size, ffi.buffer(asked, size)[:])  # type: ignore[no-any-return]

        def staple(ssl: Any, _arg: Any) -> int:
            session = library.now
            return session.contexts.staple_wanted(session, ssl)  # type: ignore[no-any-return]

        def verified(good: int, store: Any) -> int:
            if not good or library.X509_STORE_CTX_get_error_depth(store):
                return good
            session = library.now
            if session.refuses(library.der(library.X509_STORE_CTX_get_current_cert(store))):
                library.X509_STORE_CTX_set_error(store, _MISMATCH)
                return 0
            return good

        self.verified = ffi.callback("int (int, X509_STORE_CTX *)", verified, error=0, onerror=_failed)
        self.name = ffi.callback("int (SSL *, int *, void *)", name, error=_FATAL, onerror=_failed)
        self.protocol = ffi.callback(
            "int (SSL *, unsigned char **, unsigned char *, unsigned char *, unsigned int, void *)",
            protocol,
            error=_FATAL,
            onerror=_failed,
        )
        self.staple = ffi.callback("int (SSL *, void *)", staple, error=_FATAL, onerror=_failed)
        if library.has_ticket_keys:
            self.ticket = read_tickets_with(library, lambda: library.now.contexts.keys, _failed)


def _failed(_kind: Any, raised: BaseException, traceback: Any) -> None:
    _log.failure("a handshake failed in our own code", Failure(raised, type(raised), traceback))


def callbacks_of(library: Library) -> Callbacks:
    """Return the functions of ``library``, made once."""
    if library.callbacks is None:
        library.callbacks = Callbacks(library)
    return library.callbacks  # type: ignore[no-any-return]
