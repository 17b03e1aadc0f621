"""From ``tls:`` of a listener or a pool to what it speaks TLS by: certificates read, contexts made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from balancer.acme.conversation import NEEDED, missing_libraries
from balancer.acme.wanted import wanted_by
from balancer.config.listeners import HttpListener, TcpListener
from balancer.config.pools import PoolTls
from balancer.errors import BalancerError
from balancer.service.certificates import Certificates
from balancer.service.matches import Report
from balancer.tls.client_contexts import ClientContext, ClientSettings
from balancer.tls.finding import is_pattern
from balancer.tls.server_contexts import ServerContexts, ServerSettings
from balancer.tls.shelf import Shelf
from balancer.tls.tickets import TicketKeys

__all__ = ["believing", "client_context", "encryption", "offered"]


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
    faults = shelf.fill(certificates.kept)
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


def client_context(
    tls: PoolTls, directory: str, certificates: Certificates, report: Report
) -> tuple[Shelf, ClientContext | None]:
    """Return whom a pool believes and what it shows, and what it speaks TLS by; None where something is wrong with them.

    What is wrong is reported, at its key of ``tls``.
    """
    shelf = certificates.shelf_of_pool(tls, directory)
    if tls.certificate is not None and is_pattern(tls.certificate.cert):
        text = f"expected a file, {tls.certificate.cert} is a directory or a pattern"
        report(("tls", "certificate", "cert"), ValueError(text))
        return shelf, None
    faults = shelf.fill(certificates.kept)
    for fault in faults:
        place = ("tls", fault.part) if fault.at < 0 else ("tls", "certificate", fault.part)
        report(place, ValueError(fault.text))
    if faults:
        return shelf, None
    settings = ClientSettings(verify=tls.verify, server_name=tls.server_name, profile=tls.profile, alpn=tls.alpn or ())
    try:
        return shelf, ClientContext(believing(settings, shelf))
    except BalancerError as error:
        report(("tls",), error)
        return shelf, None


def believing(settings: ClientSettings, shelf: Shelf) -> ClientSettings:
    """Return ``settings`` with the authorities and the certificate that are on ``shelf`` now."""
    authorities, shown = shelf.authorities, shelf.choice.identities
    return replace(
        settings,
        ca=None if authorities is None else b"".join(authorities.certificates),
        identity=shown[0] if shown else None,
    )
