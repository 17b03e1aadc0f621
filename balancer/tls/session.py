"""One TLS connection without a socket: ciphertext goes in, plaintext comes out, and the other way round.

::

    plain = session.receive(data)          # what the peer said, in one piece; b"" where there is nothing yet
    if session.news:                       # something besides: look at out, established, peer_closed, fault
        transport.write(session.take())    # what TLS itself has to say: handshake, alerts
    transport.write(session.send(b"..."))

No exception leaves :meth:`Session.receive`: what came before a fault is worth something, and the alert that answers it must be sent.

Every byte of every connection comes through here, so it is written for speed: one buffer for all, no object for a record, and where
what came is just one whole record, as with most requests, OpenSSL is not asked whether there is another.

All connections may share one pair of BIOs (see :mod:`.system`), so **no call may leave anything in them**: the next connection would take it for its
own. OpenSSL takes all there is as long as it wants more; wherever it does not, :meth:`Session._leave_nothing` does.
"""

from __future__ import annotations

from typing import Any

from balancer.tls.faults import OURS, PROTOCOL, Fault
from balancer.tls.library import BUFFER_SIZE, Library

__all__ = ["Session"]

_RECORD = 16384
_HEADER = 5
_SMALL = 64
"""Bytes of a record that may be an alert: before one is read OpenSSL's list of errors must be clear of what others left there."""
_SLICE = 65536
"""Bytes that are encrypted before what comes of it is taken out: they stay in the processor's cache."""
_WANT_READ, _CLOSED = 2, 6
_BOTH = 3  # SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN
_SPLIT = -1
_UNTOLD = -2
_RECORD_OF_HANDSHAKE = 0x16

MOST_OWN = 256 * 1024
"""Bytes that TLS itself may have to say after the handshake: some ten thousand answers to new keys (RFC 8446 section 4.6.3)."""


class Session:
    """One connection.

    Args:
        library: whose functions are used.
        ssl: the SSL, which becomes this session's; its side and what it verifies are set.

    ``established`` says whether the handshake is done; ``peer_closed`` whether the peer has said that nothing more comes (close_notify);
    ``fault`` why nothing more can come. ``news`` is set whenever one of them changes or there is something in :meth:`take`, and is the owner's to reset.
    """

    __slots__ = (
        "_begun",
        "_in",
        "_library",
        "_missing",
        "_out",
        "_own",
        "_ssl",
        "_unsent",
        "ended",
        "established",
        "fault",
        "finished",
        "news",
        "peer_closed",
    )

    def __init__(self, library: Library, ssl: Any) -> None:
        self._library = library
        self._ssl = ssl
        self._in, self._out = library.bios()
        library.SSL_set_bio(ssl, self._in, self._out)
        self._missing = _UNTOLD  # bytes that are yet to come of the record that OpenSSL has begun to read
        self._begun = b""  # of a record's header, where that is split
        self._own = 0  # bytes that TLS itself has said since the handshake
        self._unsent = b""
        self.established = self.peer_closed = self.finished = self.ended = self.news = False
        self.fault: Fault | None = None

    # What comes.

    def start(self) -> None:
        """Say the first word of the handshake, if it is ours."""
        self._shake()

    def receive(self, data: bytes) -> bytes:
        """Take ciphertext, and return the plaintext that it completes."""
        library = self._library
        size = len(data)
        if self.fault is not None or self.peer_closed or not size or self.ended:
            return b""
        if not self.established:
            if self._missing == _UNTOLD:
                self._leave_nothing()  # nothing is there; but what comes first on a connection must be the peer's own
                if data[0] == _RECORD_OF_HANDSHAKE:  # not one of SSL 2, whose records are others
                    self._missing = 0
            library.BIO_write(self._in, data, size)
            self._note(data, size)
            return self._read_all() if self._shake() else b""
        library.BIO_write(self._in, data, size)
        if not self._missing and size > _SMALL and (data[3] << 8 | data[4]) + _HEADER == size:
            got = library.SSL_read(self._ssl, library.buffer, BUFFER_SIZE)
            if got > 0:
                return library.filled[:got]  # type: ignore[no-any-return]
            return self._no_more(got, b"")
        self._note(data, size)
        return self._read_all()

    def _note(self, data: bytes, size: int) -> None:
        """Note how much of the last record in ``data`` is yet to come: nothing, where another begins with what comes next."""
        at = self._missing
        if at == _UNTOLD:
            return
        if at == _SPLIT:
            header = self._begun + data[: _HEADER - len(self._begun)]
            if len(header) < _HEADER:
                self._begun = header
                return
            at = (header[3] << 8 | header[4]) + _HEADER - len(self._begun)
        while at + _HEADER <= size:
            at += (data[at + 3] << 8 | data[at + 4]) + _HEADER
        if at < size:
            self._begun = data[at:]
            self._missing = _SPLIT
        else:
            self._missing = at - size

    def _read_all(self) -> bytes:
        library, ssl, buffer = self._library, self._ssl, self._library.buffer
        pieces: list[bytes] = []
        filled = 0
        library.ERR_clear_error()
        while (got := library.SSL_read(ssl, buffer + filled, BUFFER_SIZE - filled)) > 0:
            filled += got
            if BUFFER_SIZE - filled < _RECORD:
                pieces.append(library.filled[:filled])
                filled = 0
        plain = library.filled[:filled] if filled else b""
        if pieces:
            pieces.append(plain)
            plain = b"".join(pieces)
        return self._no_more(got, plain)

    def _no_more(self, got: int, plain: bytes) -> bytes:
        """See why nothing more could be read; return ``plain``."""
        library = self._library
        why = library.SSL_get_error(self._ssl, got)
        if why != _WANT_READ:
            if why == _CLOSED:
                self.peer_closed = self.news = True
            else:
                self._fails()
            self._leave_nothing()
        self._own += self._collect()
        if self._own > MOST_OWN and self.fault is None:
            self.fault = Fault(PROTOCOL, "the peer asks for new keys without end")
        return plain

    def _shake(self) -> bool:
        """Go on with the handshake; return whether it is done."""
        library, ssl = self._library, self._ssl
        library.ERR_clear_error()
        library.now = self
        try:
            got = library.SSL_do_handshake(ssl)
        finally:
            library.now = None
        if got == 1:
            self.established = self.news = True
            fault = self._accepts()
            if fault is not None:
                self.fault = fault
                self._leave_nothing()
        elif library.SSL_get_error(ssl, got) != _WANT_READ:
            self._fails()
        self._collect()
        return got == 1 and self.fault is None

    def _accepts(self) -> Fault | None:
        """See whether the peer is who it is to be, beyond what OpenSSL looks at; return what is wrong."""
        return None

    def _fails(self) -> None:
        library = self._library
        verified = library.SSL_get_verify_result(self._ssl)
        words = library.text(library.X509_verify_cert_error_string(verified)) if verified else ""
        self.fault = self._judge(Fault.of(library.errors(), words))
        self.news = True
        self._leave_nothing()

    def _judge(self, fault: Fault) -> Fault:
        """Return ``fault`` as this side knows it better."""
        return fault

    def _leave_nothing(self) -> None:
        """Throw away what came and nobody reads any more."""
        library = self._library
        while library.BIO_read(self._in, library.buffer, BUFFER_SIZE) > 0:
            pass

    def _collect(self) -> int:
        """Take out what OpenSSL wrote by itself; return how many bytes that is."""
        library = self._library
        size = 0
        while (got := library.BIO_read(self._out, library.buffer, BUFFER_SIZE)) > 0:
            self._unsent += library.filled[:got]
            self.news = True
            size += got
            if got < BUFFER_SIZE:
                break  # that was all
        return size

    def take(self) -> bytes:
        """Return what TLS itself has to send."""
        unsent, self._unsent = self._unsent, b""
        return unsent

    # What goes.

    def send(self, data: bytes) -> bytes:
        """Return the ciphertext of ``data``, which must not be empty.

        Raises:
            Fault: if nothing can be sent any more.
        """
        library = self._library
        size = len(data)
        if size <= _SLICE:
            if library.SSL_write(self._ssl, data, size) == size:
                got = library.BIO_read(self._out, library.buffer, BUFFER_SIZE)
                return library.filled[:got] if got > 0 else b""
            raise self._cannot_send()
        pieces: list[bytes] = []
        with library.ffi.from_buffer(data) as start:
            for at in range(0, size, _SLICE):
                count = min(_SLICE, size - at)
                if library.SSL_write(self._ssl, start + at, count) != count:
                    raise self._cannot_send()
                got = library.BIO_read(self._out, library.buffer, BUFFER_SIZE)
                pieces.append(library.filled[:got])
        return b"".join(pieces)

    def _cannot_send(self) -> Fault:
        self._fails()
        self._collect()
        fault = self.fault
        assert fault is not None
        if fault.kind is PROTOCOL:
            fault = self.fault = Fault(OURS, str(fault))
        return fault

    def finish(self) -> bytes:
        """Return what tells the peer that nothing more comes (close_notify); once, and after a handshake only."""
        if self.finished or self.ended or self.fault is not None or not self.established:
            return b""
        self.finished = True
        if (
            self._library.SSL_shutdown(self._ssl) < 0
        ):  # in the middle of a message, say: no other session is to read why
            self._library.ERR_clear_error()
        self._collect()
        return self.take()

    def end(self) -> None:
        """Give the memory back; nothing may be asked for any more but what is in attributes."""
        if not self.ended:
            self.ended = True
            # A session that ends without our word of goodbye counts as broken, and is not resumed, unless it is told that it was said.
            if not self.finished:
                self._library.SSL_set_shutdown(self._ssl, _BOTH)
            self._library.SSL_free(self._ssl)
            self._ssl = self._in = self._out = None

    def __del__(self) -> None:
        if not getattr(self, "ended", True):
            self.end()

    @property
    def has_heard(self) -> bool:
        """Whether the peer has said anything that could be TLS."""
        return self._missing != _UNTOLD

    # What was agreed on.

    @property
    def agreed(self) -> tuple[str, str]:
        """The protocol's version and the cipher, as OpenSSL calls them."""
        library = self._library
        cipher = library.SSL_get_current_cipher(self._ssl)
        found = library.agreed.get(cipher)
        if found is None:
            version = library.text(library.SSL_get_version(self._ssl))
            found = library.agreed[cipher] = (version, library.text(library.SSL_CIPHER_get_name(cipher)))
        return found

    @property
    def alpn(self) -> str:
        """The protocol agreed on, "" if none was."""
        library = self._library
        data, size = library.ffi.new("unsigned char **"), library.ffi.new("unsigned int *")
        library.SSL_get0_alpn_selected(self._ssl, data, size)
        return library.view(data[0], size[0])[:].decode("latin-1") if size[0] else ""

    @property
    def resumed(self) -> bool:
        """Whether an earlier session goes on."""
        return bool(self._library.SSL_session_reused(self._ssl))

    @property
    def peer_certificate(self) -> bytes | None:
        """The peer's certificate in DER, None if it showed none."""
        library = self._library
        certificate = library.peer_certificate(self._ssl)
        if not certificate:
            return None
        try:
            return library.der(certificate)
        finally:
            library.X509_free(certificate)

    def __repr__(self) -> str:
        state = "failed" if self.fault else "established" if self.established else "in handshake"
        return f"<{type(self).__name__} {'ended' if self.ended else state}>"
