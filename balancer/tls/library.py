"""OpenSSL's functions by their own names, out of one library or the other; and what all connections share of it.

Two libraries have them, both reached through cffi: that of the system (:mod:`.system`) and the one that pyOpenSSL brings along
(:mod:`.bundled`). What is a macro in C is a function here, so that nobody above needs to know which it is::

    library = library_in_use()
    library.SSL_read(ssl, library.buffer, BUFFER_SIZE)

A call costs 0.1 µs with pyOpenSSL's binding, which is compiled, and 0.2 µs with the system's, which is not.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

__all__ = ["BUFFER_SIZE", "FUNCTIONS", "Library", "LibraryError"]

BUFFER_SIZE = 320 * 1024
"""Bytes of the buffer that everything goes through: what the reactor reads at a time, and a record that was begun before it."""

FUNCTIONS = [
    "BIO_free",
    "BIO_new",
    "BIO_new_mem_buf",
    "BIO_read",
    "BIO_s_mem",
    "BIO_write",
    "ERR_clear_error",
    "ERR_get_error",
    "ERR_reason_error_string",
    "EVP_PKEY_free",
    "OpenSSL_version",
    "OpenSSL_version_num",
    "PEM_read_bio_PrivateKey",
    "PEM_read_bio_X509",
    "SSL_CIPHER_get_name",
    "SSL_CTX_check_private_key",
    "SSL_CTX_free",
    "SSL_CTX_get_cert_store",
    "SSL_CTX_load_verify_locations",
    "SSL_CTX_new",
    "SSL_CTX_set_alpn_select_cb",
    "SSL_CTX_set_cipher_list",
    "SSL_CTX_set_ciphersuites",
    "SSL_CTX_set_options",
    "SSL_CTX_set_session_id_context",
    "SSL_CTX_set_timeout",
    "SSL_CTX_set_verify",
    "SSL_CTX_add_client_CA",
    "SSL_CTX_use_PrivateKey",
    "SSL_CTX_use_certificate_chain_file",
    "SSL_SESSION_free",
    "SSL_do_handshake",
    "SSL_free",
    "SSL_get0_alpn_selected",
    "SSL_get1_session",
    "SSL_get_certificate",
    "SSL_get_current_cipher",
    "SSL_get_error",
    "SSL_get_servername",
    "SSL_get_verify_result",
    "SSL_get_version",
    "SSL_new",
    "SSL_read",
    "SSL_session_reused",
    "SSL_set_SSL_CTX",
    "SSL_set_accept_state",
    "SSL_set_alpn_protos",
    "SSL_set_bio",
    "SSL_set_connect_state",
    "SSL_set_session",
    "SSL_set_shutdown",
    "SSL_shutdown",
    "SSL_write",
    "TLS_method",
    "X509_CRL_free",
    "X509_STORE_CTX_get_current_cert",
    "X509_STORE_CTX_get_error_depth",
    "X509_STORE_CTX_set_error",
    "X509_STORE_add_cert",
    "X509_STORE_add_crl",
    "X509_STORE_set_flags",
    "X509_free",
    "X509_verify_cert_error_string",
    "d2i_X509_CRL_bio",
    "d2i_X509_bio",
    "i2d_X509_bio",
]
"""What both libraries have under the same name with the same arguments."""


class LibraryError(Exception):
    """OpenSSL refuses what it is given; the text is its own."""


class Library:
    """One library.

    Args:
        name: what the operator calls it.
        ffi: its cffi interface.
        lib: its functions.

    ``buffer`` is written to by every call that reads; whoever reads takes out of it before anybody else does: ``filled[:size]`` are its bytes.
    ``has_ticket_keys`` says whether keys of session tickets can be given from outside.
    """

    has_ticket_keys = False
    agreed: dict[Any, tuple[str, str]]
    """The version and the cipher by their names, for each SSL_CIPHER that was ever agreed on: none belongs to two versions that we speak."""
    now: Any = None
    """The session whose handshake is under way."""
    callbacks: Any = None
    """What OpenSSL calls; see :mod:`.callbacks`."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, name: str, ffi: Any, lib: Any) -> None:
        self.name = name
        self.ffi = ffi
        self.lib = lib
        for function in FUNCTIONS:
            setattr(self, function, getattr(lib, function))
        self.null = ffi.NULL
        self.view = ffi.buffer
        self.buffer = ffi.new("char[]", BUFFER_SIZE)
        self.filled = ffi.buffer(self.buffer)
        self.agreed = {}
        self.version = self.text(lib.OpenSSL_version(0))

    # What is a macro, and goes by another name or way in each library.

    def bios(self) -> tuple[Any, Any]:
        """Return what a connection's ciphertext comes in and goes out by; :meth:`SSL_set_bio` takes both over."""
        method = self.BIO_s_mem()
        return self.BIO_new(method), self.BIO_new(method)

    def prepare(self, context: Any) -> None:
        """Set the modes of a new SSL_CTX: buffers are given back while nothing is read or written."""
        raise NotImplementedError

    def limit_versions(self, context: Any, least: int) -> None:
        """Allow no version older than ``least``."""
        raise NotImplementedError

    def set_groups(self, context: Any, groups: bytes) -> bool:
        """Set the groups for key exchange; return whether the library knows all of them."""
        raise NotImplementedError

    def choose_by_name(self, context: Any, callback: Any) -> None:
        """Have ``callback(ssl, alert, NULL)`` called for each client, whatever name it asks for, or none."""
        raise NotImplementedError

    def staple_by(self, context: Any, callback: Any) -> None:
        """Have ``callback(ssl, NULL)`` called where a client asks for what an OCSP responder says."""
        raise NotImplementedError

    def staple(self, ssl: Any, response: bytes) -> None:
        """Send ``response`` (DER) along with the certificate."""
        raise NotImplementedError

    def ask_for(self, ssl: Any, name: bytes) -> None:
        """Send ``name`` as SNI."""
        raise NotImplementedError

    def peer_certificate(self, ssl: Any) -> Any:
        """Return the peer's certificate, to be freed; NULL if it showed none."""
        raise NotImplementedError

    def cache_nothing(self, context: Any) -> None:
        """Keep no sessions of clients: they have tickets."""
        raise NotImplementedError

    def forget_tickets(self, context: Any) -> None:
        """Give out no tickets."""
        raise NotImplementedError

    # Made of the above.

    def text(self, characters: Any) -> str:
        """Return a C string; "" for NULL."""
        return self.ffi.string(characters).decode("utf-8", "replace") if characters else ""

    def errors(self) -> list[tuple[int, str]]:
        """Take what the library has noted as gone wrong: ``(reason, words)``, the first cause first."""
        found = []
        while code := self.ERR_get_error():
            if not code & 0x80000000:  # else errno
                found.append((code & 0x7FFFFF, self.text(self.ERR_reason_error_string(code))))
        return found

    def demand(self, done: Any, what: str) -> None:
        """Raise if ``done`` is not OpenSSL's 1.

        Raises:
            LibraryError: with ``what`` was tried and the library's words.
        """
        if done != 1:
            words = ", ".join(text for _, text in self.errors() if text)
            raise LibraryError(f"{what}: {words}" if words else what)

    @contextmanager
    def memory(self, data: bytes) -> Iterator[Any]:
        """Lend a BIO to read ``data`` from."""
        kept = self.ffi.from_buffer(data)
        bio = self.BIO_new_mem_buf(kept, len(data))
        try:
            yield bio
        finally:
            self.BIO_free(bio)

    def certificates(self, pem: bytes) -> Iterator[Any]:
        """Yield the certificates in ``pem``; each is freed when the next is asked for."""
        with self.memory(pem) as bio:
            while True:
                certificate = self.PEM_read_bio_X509(bio, self.null, self.null, self.null)
                if not certificate:
                    self.ERR_clear_error()
                    return
                try:
                    yield certificate
                finally:
                    self.X509_free(certificate)

    def revocations(self, ders: Iterable[bytes]) -> Iterator[Any]:
        """Yield the lists of revoked certificates in ``ders``; each is freed when the next is asked for."""
        for der in ders:
            with self.memory(der) as bio:
                revoked = self.d2i_X509_CRL_bio(bio, self.null)
            if not revoked:
                self.demand(0, "a list of revoked certificates cannot be read")
            try:
                yield revoked
            finally:
                self.X509_CRL_free(revoked)

    def der(self, certificate: Any) -> bytes:
        """Return a certificate in DER."""
        bio = self.BIO_new(self.BIO_s_mem())
        try:
            self.demand(self.i2d_X509_bio(bio, certificate), "a certificate cannot be written")
            size = self.BIO_read(bio, self.buffer, BUFFER_SIZE)
            return bytes(self.filled[:size])
        finally:
            self.BIO_free(bio)

    def use_identity(self, context: Any, chain: bytes, key: bytes) -> None:
        """Have ``context`` prove itself with the certificate and chain, and the key, both PEM.

        Raises:
            LibraryError: if the library does not take them.
        """
        with _file(chain) as path:  # the one way that keeps the chain of each kind of key apart in both libraries
            self.demand(self.SSL_CTX_use_certificate_chain_file(context, path), "the certificate")
        with self.memory(key) as bio:
            private = self.PEM_read_bio_PrivateKey(bio, self.null, self.null, self.null)
        if not private:
            self.demand(0, "the key")
        try:
            self.demand(self.SSL_CTX_use_PrivateKey(context, private), "the key")
        finally:
            self.EVP_PKEY_free(private)
        self.demand(self.SSL_CTX_check_private_key(context), "certificate and key")

    def __repr__(self) -> str:
        return f"<Library {self.name}: {self.version}>"


@contextmanager
def _file(content: bytes) -> Iterator[bytes]:
    """Lend the path of a file with ``content``, which is not on a disk where the system has files in memory."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("certificate")
        try:
            os.write(descriptor, content)
            yield b"/proc/self/fd/%d" % descriptor
        finally:
            os.close(descriptor)
    else:
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            yield os.fsencode(file.name)
