"""The OpenSSL that pyOpenSSL brings along, inside the package ``cryptography``: there on every platform.

Its binding is compiled, so that a call costs half as much as one into the system's library. What it lacks is a way to set the keys of
session tickets: each process makes its own, and a client that comes back to another worker is not resumed.
"""

from __future__ import annotations

from typing import Any

from OpenSSL._util import ffi, lib

from balancer.tls.library import Library

__all__ = ["Bundled"]

_SMALL = 0x10 | 0x2  # SSL_MODE_RELEASE_BUFFERS, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
_NO_TICKETS = 0x4000


class Bundled(Library):
    """pyOpenSSL's."""

    def __init__(self) -> None:
        super().__init__("pyopenssl", ffi, lib)

    def prepare(self, context: Any) -> None:
        """Set the modes of a new SSL_CTX."""
        self.lib.SSL_CTX_set_mode(context, _SMALL)

    def limit_versions(self, context: Any, least: int) -> None:
        """Allow no version older than ``least``."""
        self.demand(self.lib.SSL_CTX_set_min_proto_version(context, least), "the least version")

    def set_groups(self, context: Any, groups: bytes) -> bool:
        """Set the groups for key exchange."""
        if self.lib.SSL_CTX_set1_curves_list(context, groups) == 1:
            return True
        self.ERR_clear_error()
        return False

    def choose_by_name(self, context: Any, callback: Any) -> None:
        """Have ``callback`` called for each client."""
        self.lib.SSL_CTX_set_tlsext_servername_callback(context, callback)

    def staple_by(self, context: Any, callback: Any) -> None:
        """Have ``callback`` called where a client asks for a staple."""
        self.lib.SSL_CTX_set_tlsext_status_cb(context, callback)

    def staple(self, ssl: Any, response: bytes) -> None:
        """Send ``response``; OpenSSL frees the copy."""
        copy = self.lib.OPENSSL_malloc(len(response))
        self.ffi.memmove(copy, response, len(response))
        self.lib.SSL_set_tlsext_status_ocsp_resp(ssl, copy, len(response))

    def ask_for(self, ssl: Any, name: bytes) -> None:
        """Send ``name`` as SNI."""
        self.lib.SSL_set_tlsext_host_name(ssl, name)

    def peer_certificate(self, ssl: Any) -> Any:
        """Return the peer's certificate, to be freed."""
        return self.lib.SSL_get_peer_certificate(ssl)

    def cache_nothing(self, context: Any) -> None:
        """Keep no sessions of clients."""
        self.lib.SSL_CTX_set_session_cache_mode(context, self.lib.SSL_SESS_CACHE_OFF)

    def forget_tickets(self, context: Any) -> None:
        """Give out no tickets; those of TLS 1.3 are sent all the same, and are nothing that could be resumed."""
        self.lib.SSL_CTX_set_options(context, _NO_TICKETS)
