"""Two TLS sessions of ours that talk to each other in memory, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from balancer.errors import BalancerError
from balancer.tls.authorities import read_authorities
from balancer.tls.choice import Choice
from balancer.tls.choosing import library_named
from balancer.tls.client_contexts import ClientContext, ClientSession, ClientSettings
from balancer.tls.identity import Identity
from balancer.tls.library import Library
from balancer.tls.server_contexts import ServerContexts, ServerSession, ServerSettings
from balancer.tls.session import Session
from balancer.tls.tickets import TicketKeys
from tests.tls.authority import Authority, Issued

CA = Authority("Test CA")
OTHER_CA = Authority("Another CA")
SHOP = CA.issue("shop.example", "127.0.0.1")

Split = Callable[[bytes], Iterable[bytes]]


def libraries() -> list[Library]:
    """Return those there are: pyOpenSSL's always."""
    found = [library_named("pyopenssl")]
    try:
        found.append(library_named("system"))
    except BalancerError:
        pass
    return found


def identity(
    issued: Issued, name: str = "shop", kind: str = "ecdsa", *names: str, staple: bytes | None = None
) -> Identity:
    """Return ``issued`` as a listener has it."""
    serial = f"{issued.certificate.serial_number:x}"
    shown = names or ("shop.example",)
    return Identity(name, issued.cert, issued.key, shown, kind, 0.0, 4e9, serial, f"{name} {serial}", staple)


def server(
    library: Library,
    *identities: Identity,
    keys: TicketKeys | None = None,
    strict: bool = False,
    ca: bytes | None = None,
    crl: bytes = b"",
    **settings: Any,
) -> ServerContexts:
    """Return what a listener speaks TLS by."""
    choice = Choice(identities or [identity(SHOP)], strict=strict)
    authorities = None if ca is None else read_authorities(ca, crl)
    return ServerContexts(ServerSettings("web", **settings), choice, authorities, keys, library)


def client(library: Library, **settings: Any) -> ClientContext:
    """Return what a pool speaks TLS by, which believes the test's authority."""
    return ClientContext(ClientSettings(**{"ca": CA.issued.cert, **settings}), library)


def whole(data: bytes) -> list[bytes]:
    """Leave ``data`` in one piece."""
    return [data]


def bytewise(data: bytes) -> list[bytes]:
    """Cut ``data`` into single bytes."""
    return [data[at : at + 1] for at in range(len(data))]


class Talk:
    """A client's session and a server's, what each has heard, and why it ended."""

    def __init__(self, ours: Session, theirs: Session, split: Split = whole) -> None:
        self.client, self.server, self._split = ours, theirs, split
        self.heard: dict[Session, bytes] = {ours: b"", theirs: b""}
        ours.start()
        self.turn()

    def turn(self) -> None:
        """Carry what TLS itself has to say to and fro until nobody has anything."""
        while (to_server := self.client.take()) or (to_client := self.server.take()):
            if to_server:
                self.carry(to_server, self.server)
            else:
                self.carry(to_client, self.client)

    def carry(self, data: bytes, to: Session) -> None:
        """Give ``data`` to one of them."""
        for piece in self._split(data):
            self.heard[to] += to.receive(piece)

    def says(self, who: Session, data: bytes) -> bytes:
        """Have ``who`` say ``data``; return what the other one has heard of it."""
        other = self.server if who is self.client else self.client
        before = len(self.heard[other])
        self.carry(who.send(data), other)
        self.turn()
        return self.heard[other][before:]


def talk(ours: ClientContext, theirs: ServerContexts, host: str = "shop.example", split: Split = whole) -> Talk:
    """Return a conversation whose handshake has come to what it comes to."""
    return Talk(ours.session(host), theirs.session(), split)


def infos(spoken: Talk) -> tuple[Any, Any]:
    """Return what each side says of a handshake that is done."""
    assert isinstance(spoken.client, ClientSession)
    assert isinstance(spoken.server, ServerSession)
    return spoken.client.info(), spoken.server.info()
