"""Which OpenSSL is used: the system's where there is one that can do all, else that of pyOpenSSL.

``BALANCER_OPENSSL=system`` or ``BALANCER_OPENSSL=pyopenssl`` in the environment chooses by hand.
"""

from __future__ import annotations

import os
from functools import lru_cache

from balancer.errors import BalancerError
from balancer.tls.library import Library

__all__ = ["VARIABLE", "library_in_use", "library_named"]

VARIABLE = "BALANCER_OPENSSL"


def library_in_use() -> Library:
    """Return the library that this process uses, loaded once.

    Raises:
        BalancerError: if the one that the environment asks for is not there.
    """
    return library_named(os.environ.get(VARIABLE, ""))


@lru_cache(maxsize=4)
def library_named(name: str) -> Library:
    """Return the library called ``name``, ``""`` for the better one; raises as :func:`library_in_use`."""
    if name not in ("", "system", "pyopenssl"):
        raise BalancerError(f"expected {VARIABLE} to be 'system' or 'pyopenssl', got {name!r}")
    if name != "pyopenssl":
        try:
            from balancer.tls.system import System

            return System()
        except (OSError, ImportError, AttributeError) as error:
            if name == "system":
                raise BalancerError(f"{VARIABLE}=system, but the system's OpenSSL cannot be used: {error}") from error
    return _bundled()


@lru_cache(maxsize=1)
def _bundled() -> Library:
    from balancer.tls.bundled import Bundled

    return Bundled()
