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
        self.use(keys or (new_key(),))

    def use(self, keys: Sequence[bytes]) -> None:
        """Encrypt with the first of ``keys`` from now on, and read tickets of all of them."""
        if not keys or any(len(key) != KEY_SIZE for key in keys):
            raise ValueError(f"expected one key or more, each of {KEY_SIZE} bytes")
        self.keys = tuple(keys)
        self._by_name = {key[:_NAME]: key for key in keys}

    def rotate(self) -> None:
        """Begin to use a new key, and forget the oldest."""
        self.use((new_key(), *self.keys[: KEPT - 1]))

    def named(self, name: bytes) -> bytes | None:
        """Return the key with that name, None if it is not known, or not any more."""
        return self._by_name.get(name)

    def __repr__(self) -> str:
        return f"<TicketKeys, {len(self.keys)}>"  # and not what they are


def read_tickets_with(library: Library, keys_now: Callable[[], TicketKeys | None], failed: Any = None) -> Any:
    """Return the callback that OpenSSL makes and reads tickets by; :attr:`Library.has_ticket_keys` must be true."""
    ffi, lib = library.ffi, library.lib
    cipher: Any = library.ticket_cipher
    key_name, digest_name, digest = (
        ffi.new("char[]", b"key"),
        ffi.new("char[]", b"digest"),
        ffi.new("char[]", b"SHA256"),
    )
    secret, signing = ffi.new("unsigned char[32]"), ffi.new("unsigned char[32]")
    params: Any = ffi.new("OSSL_PARAM[3]")
    params[0].key, params[0].data_type, params[0].data, params[0].data_size = key_name, _OCTETS, signing, 32
    params[1].key, params[1].data_type, params[1].data, params[1].data_size = digest_name, _UTF8, digest, 6
    kept = (key_name, digest_name, digest, secret, signing, params)

    def ticket(_ssl: Any, name: Any, vector: Any, cipher_context: Any, mac: Any, encrypts: int) -> int:
        keys = keys_now()
        if keys is None:
            return _UNKNOWN
        if encrypts:
            key: bytes | None = keys.keys[0]
            ffi.memmove(name, keys.keys[0][:_NAME], _NAME)
            ffi.memmove(vector, os.urandom(16), 16)
            begin = lib.EVP_EncryptInit_ex
        else:
            key = keys.named(bytes(ffi.buffer(name, _NAME)))
            begin = lib.EVP_DecryptInit_ex
        if key is None:
            return _UNKNOWN
        ffi.memmove(secret, key[_NAME:_SECRET], 32)
        ffi.memmove(signing, key[_SECRET:], 32)
        if begin(cipher_context, cipher, ffi.NULL, secret, vector) != 1 or lib.EVP_MAC_CTX_set_params(mac, params) != 1:
            return _REFUSED
        return _GOOD if encrypts or key == keys.keys[0] else _GOOD_BUT_OLD

    callback = ffi.callback(
        "int (SSL *, unsigned char *, unsigned char *, EVP_CIPHER_CTX *, EVP_MAC_CTX *, int)",
        ticket,
        error=_REFUSED,
        onerror=failed,
    )
    _KEPT_ALIVE.append((callback, kept))
    return callback


_KEPT_ALIVE: list[Any] = []
"""What OpenSSL has pointers to: one entry for each library."""
