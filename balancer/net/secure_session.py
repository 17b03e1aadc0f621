"""What :mod:`.secured` needs of TLS: the shape of a session, which :mod:`balancer.tls` fills."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["SecureSession"]


class SecureSession(Protocol):
    """TLS without I/O; :class:`balancer.tls.session.Session` is one, and says what these mean."""

    established: bool
    finished: bool
    peer_closed: bool
    news: bool
    fault: Any

    def start(self) -> None:
        """Begin the handshake."""

    def receive(self, data: bytes) -> bytes:
        """Return the plaintext that ``data`` completes."""

    def send(self, data: bytes) -> bytes:
        """Return the ciphertext of ``data``."""

    def take(self) -> bytes:
        """Return what TLS itself has to send."""

    def finish(self) -> bytes:
        """Return the last word."""

    def end(self) -> None:
        """Give the memory back."""
