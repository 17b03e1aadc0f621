"""From ``tls:`` of a listener or a pool to what it speaks TLS by: certificates read, contexts made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from balancer.acme.conversation import NEEDED, missing_libraries
from balancer.acme.wanted import wanted_by
from balancer.config.listeners import HttpListener, TcpListener
from balancer.config.pools import PoolTls
from balancer.errors import BalancerError
from balancer.service.certificates import Certificates
from balancer.service.matches import Report
from balancer.tls.authorities import read_authorities
from balancer.tls.client_contexts import ClientContext, ClientSettings
from balancer.tls.files import read_file
from balancer.tls.pem import UnusableError
from balancer.tls.reading import Source, UnusableCertificateError, read_identity
from balancer.tls.server_contexts import ServerContexts, ServerSettings
from balancer.tls.shelf import Shelf
from balancer.tls.tickets import TicketKeys

__all__ = ["client_context", "encryption", "offered"]


def offered(settings: HttpListener | TcpListener) -> tuple[str, ...]:
    """Return the protocols that a listener offers (ALPN): those asked for, of HTTP as far as they are spoken, best first."""
    wanted = settings.tls.alpn if settings.tls is not None else ()
    if isinstance(settings, TcpListener):
        return wanted or ()
    spoken = ("http/1.1",) if settings.http2 is None else ("h2", "http/1.1")
    return spoken if wanted is None else tuple(name for name in wanted if name in spoken)


def encryption(
    name: str,
    settings: HttpListener | TcpListener,
    directory: str,
    certificates: Certificates,
    keys: TicketKeys,
    report: Report,
    proofs: Mapping[str, str],
) -> tuple[Shelf, ServerContexts | None]:
    """Return the certificates of the listener ``name``, and what it speaks TLS by; None where something is wrong with them.

    ``directory`` is that of the configuration; ``proofs`` what authorities are to be shown, by name. What is wrong is reported, each certificate at its file.
    """
    tls = settings.tls
    assert tls is not None
    if tls.acme is not None and missing_libraries():
        report(("tls", "acme"), ValueError(NEEDED))
    shelf = certificates.shelf(tls, directory, wanted_by(settings))
    faults = shelf.fill()
    for fault in faults:
        if fault.at >= 0:
            place: tuple[str | int, ...] = ("tls", "certificates", fault.at, fault.part)
        else:
            place = ("tls", "default") if fault.part == "default" else ("tls", "client_auth", fault.part)
        report(place, ValueError(fault.text))
    if faults:
        return shelf, None
    shelf.staple(certificates.staples)
    wanted = ServerSettings(
        listener=name,
        profile=tls.profile,
        alpn=offered(settings),
        client_auth=tls.client_auth.mode if tls.client_auth is not None else None,
        handshake_timeout=tls.handshake_timeout,
        tickets=tls.tickets is not None,
    )
    try:
        return shelf, ServerContexts(wanted, shelf.choice, shelf.authorities, keys, proofs=proofs)
    except BalancerError as error:
        report(("tls",), error)
        return shelf, None


def client_context(tls: PoolTls, directory: str, report: Report) -> ClientContext | None:
    """Return what a pool speaks TLS by; None where something is wrong, which is reported at its key of ``tls``."""
    ca, shown = None, None
    if tls.ca is not None:
        try:
            ca = b"".join(read_authorities(read_file(Path(directory, tls.ca))[0]).certificates)
        except UnusableError as error:
            report(("tls", "ca"), ValueError(str(error)))
    if tls.certificate is not None:
        cert, key = tls.certificate.cert, tls.certificate.key
        try:
            shown = read_identity(
                Source(cert, Path(directory, cert), None if key is None else Path(directory, key), None)
            )
        except UnusableCertificateError as error:
            for part, text in error.problems:
                report(("tls", "certificate", part), ValueError(text))
    if (tls.ca is not None and ca is None) or (tls.certificate is not None and shown is None):
        return None
    try:
        return ClientContext(ClientSettings(tls.verify, ca, tls.server_name, shown, tls.profile))
    except BalancerError as error:
        report(("tls",), error)
        return None
