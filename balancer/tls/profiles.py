"""What is spoken: versions, ciphers, groups, after Mozilla's recommendations for servers (version 5.7).

``intermediate`` is for everybody of the last ten years, ``modern`` for TLS 1.3 alone. Of the intermediate ciphers those with DHE are left
out: nobody needs them who has elliptic curves, and they are what a client can burn most processor time with.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PROFILES", "Profile"]

_TLS_1_2, _TLS_1_3 = 0x0303, 0x0304


@dataclass(frozen=True, slots=True)
class Profile:
    """A way to speak TLS.

    ``least`` is the oldest version; ``ciphers`` are for TLS 1.2, ``suites`` for 1.3; ``groups`` are tried in turn, until the library knows
    all that one of them names. The client chooses among the ciphers: all are good, and a phone knows what is cheap for it.
    """

    least: int
    ciphers: bytes
    suites: bytes
    groups: tuple[bytes, ...]


_SUITES = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
_GROUPS = (b"X25519MLKEM768:X25519:prime256v1:secp384r1", b"X25519:prime256v1:secp384r1")
_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    b"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)

PROFILES = {
    "intermediate": Profile(_TLS_1_2, _CIPHERS, _SUITES, _GROUPS),
    "modern": Profile(_TLS_1_3, _CIPHERS, _SUITES, _GROUPS),
}
"""By name."""
