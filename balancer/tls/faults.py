"""What can go wrong in TLS, sorted by what an operator does about it.

OpenSSL has some hundred reasons, each a number. A :class:`Fault` says which of a few kinds one is of, in words about the peer.
"""

from __future__ import annotations

from collections.abc import Sequence

from balancer import errors
from balancer.errors import ExchangeError, Reason

__all__ = [
    "ALERT",
    "CERTIFICATE",
    "CLOSED",
    "NOTHING_SHARED",
    "NOT_TLS",
    "NO_PROTOCOL",
    "OURS",
    "PROTOCOL",
    "RESET",
    "TIMEOUT",
    "UNKNOWN_NAME",
    "Fault",
    "alert_name",
]

ALERT = "alert"
"""The peer refused, and said so by an alert."""
CERTIFICATE = "certificate"
"""The peer's certificate was refused, or is missing."""
CLOSED = "closed"
"""The peer closed the connection in the middle."""
NO_PROTOCOL = "no_protocol"
"""There is no protocol (ALPN) that both speak."""
NOTHING_SHARED = "nothing_shared"
"""There is no version or cipher that both speak."""
NOT_TLS = "not_tls"
"""What came is no TLS at all."""
OURS = "ours"
"""The balancer's own fault."""
PROTOCOL = "protocol"
"""The peer broke the protocol."""
RESET = "reset"
"""The peer reset the connection in the middle, or the network did."""
TIMEOUT = "timeout"
"""The handshake took too long."""
UNKNOWN_NAME = "unknown_name"
"""There is no certificate for the name that was asked for, and another may not be shown."""

_ALERTS = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}
_ALERT_REASONS = 1000  # an alert that came is this and its number

_KINDS = {
    118: NOTHING_SHARED,  # no suitable signature algorithm
    134: CERTIFICATE,  # certificate verify failed
    155: NOT_TLS,  # https proxy request
    156: NOT_TLS,  # http request
    193: NOTHING_SHARED,  # no shared cipher
    199: CERTIFICATE,  # peer did not return a certificate
    235: NO_PROTOCOL,  # no application protocol
    252: NOT_TLS,  # unknown protocol
    258: NOTHING_SHARED,  # unsupported protocol
    101: NOTHING_SHARED,  # no suitable key share
    410: NOTHING_SHARED,  # no suitable groups
    191: NOTHING_SHARED,  # no protocols available
    396: NOTHING_SHARED,  # version too low
}


def alert_name(number: int) -> str:
    """Return what RFC 8446 section 6 calls an alert."""
    return _ALERTS.get(number, f"alert {number}")


class Fault(Exception):  # noqa: N818 - a word of operators
    """TLS cannot go on: ``kind`` is one of the words above, ``alert`` the number of the one that came, if one did."""

    def __init__(self, kind: str, words: str, alert: int | None = None) -> None:
        super().__init__(words)
        self.kind = kind
        self.alert = alert

    @classmethod
    def of(cls, noted: Sequence[tuple[int, str]], verified: str = "") -> Fault:
        """Return what OpenSSL has ``noted``; ``verified`` is why a certificate was refused, in its words."""
        for reason, words in noted:
            if _ALERT_REASONS < reason < _ALERT_REASONS + 256:
                alert = reason - _ALERT_REASONS
                return cls(ALERT, f"alert {alert_name(alert)}", alert)
            kind = _KINDS.get(reason)
            if kind is not None:
                return cls(
                    kind, f"{words}: {verified}" if kind is CERTIFICATE and verified and reason == 134 else words
                )
        return cls(PROTOCOL, ", ".join(words for _, words in noted) or "the connection cannot go on")

    def towards_server(self, where: str) -> ExchangeError:
        """Return what this means for an exchange or session with the server at ``where``."""
        return ExchangeError(_REASONS.get(self.kind, errors.TLS_PROTOCOL_ERROR), f"{where}: {self}")

    def __repr__(self) -> str:
        return f"<Fault {self.kind}: {self}>"


_REASONS: dict[str, Reason] = {
    ALERT: errors.TLS_ALERT_RECEIVED,
    CERTIFICATE: errors.TLS_CERTIFICATE_ERROR,
    CLOSED: errors.CONNECTION_TERMINATED,
    RESET: errors.CONNECTION_TERMINATED,
    TIMEOUT: errors.CONNECTION_TIMEOUT,
    OURS: errors.PROXY_INTERNAL_ERROR,
}
