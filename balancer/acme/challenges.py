"""tls-alpn-01 (RFC 8737) as the library ``acme`` would have it: it knows the others, but has given this one up.

Imported only where the libraries are there, by what is about to speak to an authority.
"""

from __future__ import annotations

from typing import Any

from acme import challenges
from josepy.jwk import JWK

__all__ = ["teach_tls_alpn"]

_KIND = "tls-alpn-01"


class _Answer(challenges.KeyAuthorizationChallengeResponse):
    typ = _KIND


class _Challenge(challenges.KeyAuthorizationChallenge):
    response_cls = _Answer
    typ = _KIND

    def validation(self, account_key: JWK, **_: Any) -> str:
        """Return the key authorization, of which the certificate holds the digest."""
        return self.key_authorization(account_key)


def teach_tls_alpn() -> None:
    """Have the library understand the challenge where it does not."""
    if _KIND not in challenges.Challenge.TYPES:
        challenges.ChallengeResponse.register(_Answer)
        challenges.Challenge.register(_Challenge)
