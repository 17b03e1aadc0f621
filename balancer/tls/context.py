"""SSL_CTX: what connections of a kind have in common, for both sides. One takes a millisecond to make and 50 kB to keep.

So they are kept in the library by what went into them, as long as anybody uses them: a reload makes only those again that have changed.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any
from weakref import WeakValueDictionary

from balancer.tls.identity import Identity
from balancer.tls.library import Library
from balancer.tls.profiles import PROFILES

__all__ = ["Context", "context_for", "trust"]

_NO_COMPRESSION, _NO_RENEGOTIATION = 0x20000, 0x40000000
_PARTIAL_CHAIN, _CRL_CHECK, _CRL_CHECK_ALL = 0x80000, 0x4, 0x8


class Context:
    """An SSL_CTX, freed with this object; connections that use it keep it alive on their own.

    ``by_certificate`` tells the fingerprint of a certificate by its address, where there are several.
    """

    __slots__ = ("__weakref__", "by_certificate", "identities", "library", "pointer")

    def __init__(self, library: Library, profile: str, identities: Iterable[Identity]) -> None:
        self.library = library
        self.identities = tuple(identities)
        wanted = PROFILES[profile]
        made = library.SSL_CTX_new(library.TLS_method())
        if not made:
            library.demand(0, "no SSL_CTX")
        self.pointer = library.ffi.gc(made, library.SSL_CTX_free)
        library.prepare(self.pointer)
        library.SSL_CTX_set_options(self.pointer, _NO_COMPRESSION | _NO_RENEGOTIATION)
        library.limit_versions(self.pointer, wanted.least)
        library.demand(library.SSL_CTX_set_cipher_list(self.pointer, wanted.ciphers), "ciphers")
        library.demand(library.SSL_CTX_set_ciphersuites(self.pointer, wanted.suites), "ciphers of TLS 1.3")
        if not any(library.set_groups(self.pointer, groups) for groups in wanted.groups):
            library.demand(0, "groups")
        self.by_certificate: dict[int, str] = {}
        for identity in self.identities:
            library.use_identity(self.pointer, identity.chain, identity.key)
            if len(self.identities) > 1:
                self.by_certificate[self._address()] = identity.fingerprint

    def _address(self) -> int:
        library = self.library
        ssl = library.SSL_new(self.pointer)
        try:
            return int(library.ffi.cast("uintptr_t", library.SSL_get_certificate(ssl)))
        finally:
            library.SSL_free(ssl)

    def shown(self, ssl: Any) -> str:
        """Return the fingerprint of the certificate that ``ssl`` shows."""
        if len(self.identities) == 1:
            return self.identities[0].fingerprint
        address = int(self.library.ffi.cast("uintptr_t", self.library.SSL_get_certificate(ssl)))
        return self.by_certificate.get(address, "")

    def __repr__(self) -> str:
        return f"<Context of {', '.join(identity.name for identity in self.identities) or 'nobody'}>"


_kept: WeakValueDictionary[Hashable, Context] = WeakValueDictionary()


def context_for(
    library: Library, side: Hashable, profile: str, identities: Iterable[Identity], made: Callable[[Context], None]
) -> Context:
    """Return the context of these identities, and of ``side``, which stands for everything that ``made`` adds to a new one.

    Raises:
        LibraryError: if the library refuses a certificate or what ``made`` adds.
    """
    identities = tuple(identities)
    key = (library.name, side, profile, *((each.fingerprint, each.chain, each.key) for each in identities))
    found = _kept.get(key)
    if found is None:
        found = Context(library, profile, identities)
        made(found)
        _kept[key] = found
    return found


def trust(context: Context, ca: bytes, crls: Sequence[bytes] = ()) -> list[bytes]:
    """Have ``context`` accept certificates of the authorities in ``ca`` (PEM), but for those that ``crls`` (PEM) take back.

    Returns the authorities' certificates in DER.

    Raises:
        LibraryError: if one of them cannot be used.
    """
    library = context.library
    store = library.SSL_CTX_get_cert_store(context.pointer)
    found = []
    for certificate in library.certificates(ca):
        library.demand(library.X509_STORE_add_cert(store, certificate), "an authority")
        found.append(library.der(certificate))
    flags = _PARTIAL_CHAIN
    if crls:
        for revoked in library.revocations(map(_der, crls)):
            library.demand(library.X509_STORE_add_crl(store, revoked), "a list of revoked certificates")
        flags |= _CRL_CHECK | _CRL_CHECK_ALL
    library.demand(library.X509_STORE_set_flags(store, flags), "flags")
    return found


def _der(pem: bytes) -> bytes:
    return base64.b64decode(b"".join(line for line in pem.splitlines() if b"-----" not in line))
