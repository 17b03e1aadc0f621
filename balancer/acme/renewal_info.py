"""When an authority suggests to renew a certificate (RFC 9773): asked from time to time, without an account.

It is how an authority has a certificate replaced that it is about to revoke, and spreads the load of millions of clients.
"""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

from cryptography import x509

from balancer.acme.faults import PATIENCE, in_our_words
from balancer.acme.schedule import Window, retry_after

__all__ = ["NOT_OFFERED", "UNASKED", "ask_window", "certificate_id"]

UNASKED = 6 * 3600.0
"""Seconds until it is asked again, where it does not say."""
NOT_OFFERED = 86400.0
"""Seconds until the directory is looked at again, where it has no such thing."""
_SOONEST = 60.0


def certificate_id(pem: bytes) -> str:
    """Return what the first certificate in ``pem`` is called (RFC 9773 section 4.1); "" where its issuer's key is not named in it."""
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        issuer = None
    if issuer is None:
        return ""
    serial = certificate.serial_number
    return f"{_base64(issuer)}.{_base64(serial.to_bytes(serial.bit_length() // 8 + 1))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def ask_window(directory: str, ca: str | None, pem: bytes, fingerprint: str, now: float) -> Window:
    """Return when the authority suggests to renew the first certificate in ``pem``; waits for its answers.

    ``directory`` is its URL, ``ca`` the file with those that its own certificate may be from, ``now`` the time in seconds since the epoch.

    Raises:
        OrderError: if there is no answer, or none that can be understood.
    """
    import requests

    name = certificate_id(pem)
    with in_our_words():
        base = _json(requests.get(directory, timeout=PATIENCE, verify=ca or True)).get("renewalInfo")
        if not name or not isinstance(base, str):
            return Window(fingerprint, again=now + NOT_OFFERED)
        answer = requests.get(f"{base.rstrip('/')}/{name}", timeout=PATIENCE, verify=ca or True)
        found = _json(answer)
        window, why = found["suggestedWindow"], found.get("explanationURL")
        if not isinstance(window, dict):
            raise KeyError("no window")
        begins, ends = _moment(window["start"]), _moment(window["end"])
        if ends <= begins:
            raise KeyError("the suggested window ends before it begins")
        again = now + max(_SOONEST, retry_after(answer.headers.get("Retry-After", ""), UNASKED, now))
        return Window(fingerprint, begins, ends, again, why if isinstance(why, str) and why.isprintable() else "")


def _json(answer: Any) -> dict[str, Any]:
    from acme import errors

    if not answer.ok:
        raise errors.ClientError(answer)
    found = answer.json()
    if not isinstance(found, dict):
        raise KeyError("no JSON object")
    return found


def _moment(text: Any) -> float:
    """Return the time of RFC 3339 ``text`` in seconds since the epoch."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise KeyError(f"no time: {text!r}") from None
    if moment.tzinfo is None:
        raise KeyError(f"a time without its zone: {text!r}")
    return moment.timestamp()
