"""Session tickets (RFC 5077, RFC 8446 section 4.6.1): what a client keeps so that next time half the handshake is enough.

A ticket is the session, encrypted with a key of ours. Who has the key can read what the ticket's connections said (TLS 1.2), so keys
live in memory only, and not for long: a new one comes now and then, the ones before are still read until their tickets are too old. All
processes have the same keys, so that a client may come back to any of them.

The layout is OpenSSL's own: AES-256-CBC, then HMAC-SHA256 over it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from balancer.tls.library import Library

__all__ = ["KEPT", "KEY_SIZE", "TicketKeys", "new_key", "read_tickets_with"]

KEY_SIZE = 80
"""Bytes of a key: 16 for its name, 32 to encrypt, 32 to sign."""
KEPT = 3
"""Keys that there are at a time: the one in use, and those before it."""

_NAME, _SECRET = 16, 48
_REFUSED, _UNKNOWN, _GOOD, _GOOD_BUT_OLD = -1, 0, 1, 2
_UTF8, _OCTETS = 4, 5  # OSSL_PARAM_UTF8_STRING, OSSL_PARAM_OCTET_STRING


def new_key(draw: Callable[[int], bytes] = os.urandom) -> bytes:
    """Return a new key."""
    return draw(KEY_SIZE)


class TicketKeys:
    """The keys of a process, the one that new tickets get first. One object for its whole life; :meth:`use` changes the keys.

    Args:
        keys: each of :data:`KEY_SIZE` bytes.
    """

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        self.keys: tuple[bytes, ...] = ()
        self._by_name: dict[bytes, bytes] = {}
        self.laid_out: tuple[Any, dict[bytes, Any]] | None = None
        """The keys as a library wants them, by their names, with whose they are; gone with the keys."""
        self.use(keys or (new_key(),))

    def use(self, keys: Sequence[bytes]) -> None:
        """Encrypt with the first of ``keys`` from now on, and read tickets of all of them."""
        if not keys or any(len(key) != KEY_SIZE for key in keys):
            raise ValueError(f"expected one key or more, each of {KEY_SIZE} bytes")
        self.keys = tuple(keys)
        self._by_name = {key[:_NAME]: key for key in keys}
        self.laid_out = None

    def rotate(self) -> None:
        """Begin to use a new key, and forget the oldest."""
        self.use((new_key(), *self.keys[: KEPT - 1]))

    def named(self, name: bytes) -> bytes | None:
        """Return the key with that name, None if it is not known, or not any more."""
        return self._by_name.get(name)

    def __repr__(self) -> str:
        return f"<TicketKeys, {len(self.keys)}>"  # and not what they are


class _Layout:
    """One key in the form that OpenSSL is given it: made once for all of its tickets."""

    __slots__ = ("_kept", "name", "params", "secret")

    def __init__(self, library: Library, key: bytes) -> None:
        new = library.ffi.new
        self.name = key[:_NAME]
        self.secret = new("unsigned char[32]", key[_NAME:_SECRET])
        signing, digest = new("unsigned char[32]", key[_SECRET:]), new("char[]", b"SHA256")
        names = new("char[]", b"key"), new("char[]", b"digest")
        self.params = new("OSSL_PARAM[3]")
        for param, name, kind, data, size in (
            (self.params[0], names[0], _OCTETS, signing, 32),
            (self.params[1], names[1], _UTF8, digest, 6),
        ):
            param.key, param.data_type, param.data, param.data_size = name, kind, data, size
        self._kept = (signing, digest, names)  # pointed to


def read_tickets_with(library: Library, keys_now: Callable[[], TicketKeys | None], failed: Any = None) -> Any:
    """Return the callback that OpenSSL makes and reads tickets by; :attr:`Library.has_ticket_keys` must be true."""
    ffi, lib = library.ffi, library.lib
    cipher: Any = library.ticket_cipher
    encrypt, decrypt, sign = lib.EVP_EncryptInit_ex, lib.EVP_DecryptInit_ex, lib.EVP_MAC_CTX_set_params
    view, null, draw, version = ffi.buffer, ffi.NULL, os.urandom, lib.SSL_get_version  # "TLSv1.3"

    def laid_out(keys: TicketKeys) -> dict[bytes, _Layout]:
        found = keys.laid_out
        if found is None or found[0] is not library:
            found = keys.laid_out = (library, {key[:_NAME]: _Layout(library, key) for key in keys.keys})
        return found[1]

    # It runs twice in a whole handshake: three µs of it were the layout of the key, made anew for each ticket.
    def ticket(ssl: Any, name: Any, vector: Any, cipher_context: Any, mac: Any, encrypts: int) -> int:
        keys = keys_now()
        if keys is None:
            return _UNKNOWN
        layouts = laid_out(keys)
        first = keys.keys[0][:_NAME]
        if encrypts:
            layout = layouts[first]
            view(name, _NAME)[:] = first
            view(vector, 16)[:] = draw(16)
            begun = encrypt(cipher_context, cipher, null, layout.secret, vector)
        else:
            asked = layouts.get(view(name, _NAME)[:])
            if asked is None:
                return _UNKNOWN
            layout = asked
            begun = decrypt(cipher_context, cipher, null, layout.secret, vector)
        if begun != 1 or sign(mac, layout.params) != 1:
            return _REFUSED
        if encrypts or (layout.name == first and version(ssl)[6] != b"3"):
            return _GOOD
        return _GOOD_BUT_OLD  # clients of TLS 1.3 use a ticket once (RFC 8446 appendix C.4), and want another

    callback = ffi.callback(
        "int (SSL *, unsigned char *, unsigned char *, EVP_CIPHER_CTX *, EVP_MAC_CTX *, int)",
        ticket,
        error=_REFUSED,
        onerror=failed,
    )
    _KEPT_ALIVE.append(callback)
    return callback


_KEPT_ALIVE: list[Any] = []
"""What OpenSSL has pointers to: one entry for each library."""
