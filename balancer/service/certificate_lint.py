"""What is doubtful about certificates (``balancer check --lint``): seen only with the files read and the routes beside them."""

from __future__ import annotations

from collections.abc import Iterator

from balancer.config.listeners import HttpListener
from balancer.config.schema import Config
from balancer.config.tls import ListenerTls
from balancer.errors import Problem
from balancer.model.units import counted
from balancer.service.snapshot import Snapshot
from balancer.tls.identity import Identity
from balancer.tls.names import covers, has_alternative_names, normal_name
from balancer.tls.ocsp import Question, must_staple
from balancer.tls.shelf import Shelf
from balancer.tls.stand_in import STAND_IN
from balancer.tls.validity import SOON, days_left, moment, standing

__all__ = ["lint_certificates"]

Place = tuple[str | int, ...]

_LIST_SOON = 86400.0
"""Seconds before its end from which on a list ought to have been renewed."""


def lint_certificates(snapshot: Snapshot, now: float) -> Iterator[Problem]:
    """Yield a problem for each certificate, and each host of a route, that is doubtful at ``now``."""
    config = snapshot.config
    for name, shelf in snapshot.shelves.items():
        listener = config.listeners[name]
        tls = getattr(listener, "tls", None)
        if tls is None:
            continue
        here: Place = ("listeners", name)
        places = {identity.fingerprint: _place(here, tls, at) for at, _, identity in shelf.found}
        yield from _of_orders(config, here, tls)
        for at, _, identity in shelf.found:
            place = places[identity.fingerprint]
            if at < len(tls.certificates):  # the others are renewed by us, when it is time
                yield from _of_time(config, place, identity, now)
            yield from _of_itself(config, place, identity, tls)
        yield from _of_lists(config, (*here, "tls", "client_auth", "crl"), shelf, now)
        yield from _among_themselves(config, places, shelf)
        if isinstance(listener, HttpListener):
            yield from _beside_routes(config, here, places, shelf, listener)


def _place(here: Place, tls: ListenerTls, at: int) -> Place:
    """Return the place of the entry number ``at``; those behind the certificates of the file are issued for us."""
    return (*here, "tls", "certificates", at, "cert") if at < len(tls.certificates) else (*here, "tls", "acme")


def _of_orders(config: Config, here: Place, tls: ListenerTls) -> Iterator[Problem]:
    """Yield what keeps authorities from finding the proofs of http-01 and tls-alpn-01."""
    if tls.acme is None or tls.acme.challenge == "dns-01":
        return
    if tls.acme.challenge == "tls-alpn-01":
        secured = [each for each in config.listeners.values() if getattr(each, "tls", None) is not None]
        if not any(_port(bind) in (443, None) for each in secured for bind in each.bind):
            message = (
                "no listener with TLS listens on port 443, where authorities ask for the proof of tls-alpn-01:"
                " something has to lead them here without ending TLS itself"
            )
            yield config.problem((*here, "tls", "acme"), message, "no-challenge-port")
        return
    plain = [each for each in config.listeners.values() if isinstance(each, HttpListener) and each.tls is None]
    place: Place = (*here, "tls", "acme")
    if not plain:
        message = (
            "no HTTP listener without TLS: authorities look for the proof of http-01 by http, at port 80 of the name"
        )
        yield config.problem(place, message, "no-challenge-listener")
    elif not any(_port(bind) in (80, None) for each in plain for bind in each.bind):
        message = (
            "no HTTP listener without TLS listens on port 80, where authorities ask: something has to lead them here"
        )
        yield config.problem(place, message, "no-challenge-port")


def _port(bind: str) -> int | None:
    """Return the port of ``bind``, None where it cannot be told."""
    host, _, port = bind.rpartition(":")
    return int(port) if port.isdecimal() and host.partition(":")[0] not in ("unix", "systemd", "tcp", "tcp6") else None


def _of_time(config: Config, place: Place, identity: Identity, now: float) -> Iterator[Problem]:
    wrong = standing(identity, now)
    left = days_left(identity, now)
    if wrong:
        yield config.problem(place, f"the certificate {identity.name} {wrong}", "certificate-expired")
    elif left < SOON:
        message = f"the certificate {identity.name} expires in {counted(left, 'day')}, on {moment(identity.not_after)}"
        yield config.problem(place, message, "certificate-expires")


def _of_lists(config: Config, place: Place, shelf: Shelf, now: float) -> Iterator[Problem]:
    authorities = shelf.authorities
    if authorities is not None and authorities.until - now < _LIST_SOON:
        gone = authorities.until <= now
        message = (
            f"a list of revoked certificates {'is' if gone else 'will be'} out of date {'since' if gone else 'on'}"
            f" {moment(authorities.until)}: no client of that authority is let in then"
        )
        yield config.problem(place, message, "list-expired" if gone else "list-expires")


def _of_itself(config: Config, place: Place, identity: Identity, tls: ListenerTls) -> Iterator[Problem]:
    if not has_alternative_names(identity.chain):
        message = f"the certificate {identity.name} has no subject alternative names: browsers accept it for no host"
        yield config.problem(place, message, "no-alternative-names")
    if must_staple(identity):
        if not tls.ocsp:
            reason = "and 'ocsp' is false"
        elif Question.of(identity) is None:
            reason = "and names no authority to ask, or its issuer is not in the chain"
        else:
            return
        message = (
            f"the certificate {identity.name} is refused by clients without an OCSP answer ('must staple'), {reason}"
        )
        yield config.problem(place, message, "must-staple")


def _among_themselves(config: Config, places: dict[str, Place], shelf: Shelf) -> Iterator[Problem]:
    unused = {each.fingerprint for each in shelf.choice.unused()}
    twice: dict[tuple[str, str], tuple[Identity, Identity, list[str]]] = {}
    for hidden, shown, name in shelf.choice.shadowed():
        twice.setdefault((hidden.fingerprint, shown.fingerprint), (hidden, shown, []))[2].append(name)
    for hidden, shown, names in twice.values():
        why = "as it is valid for longer" if shown.not_after > hidden.not_after else "as it comes first"
        message = f"{', '.join(names)}: {shown.name} is shown instead of {hidden.name}, {why}"
        if hidden.fingerprint in unused:
            message += f"; {hidden.name} is never shown"
        yield config.problem(places[hidden.fingerprint], message, "certificate-covered-twice")
    for identity in shelf.choice.unused():
        if not identity.names:
            message = f"the certificate {identity.name} is for no name, and is not the default: it is never shown"
            yield config.problem(places[identity.fingerprint], message, "unused-certificate")


def _beside_routes(
    config: Config, here: Place, places: dict[str, Place], shelf: Shelf, listener: HttpListener
) -> Iterator[Problem]:
    asked: set[str] = set()
    everything = False
    for at, route in enumerate(listener.routes):
        hosts = [str(host) for host in route.match.host]
        everything = everything or not hosts
        asked.update(hosts)
        for host in hosts:
            if not shelf.choice.covered(host) and not covers(shelf.wanted.awaited, normal_name(host)):
                message = f"no certificate is for {host}: clients that check names cannot reach this route"
                yield config.problem((*here, "routes", at, "match", "host"), message, "host-without-certificate")
    if everything or not asked:
        return
    for identity in shelf.choice.identities:
        if identity.name == STAND_IN:
            continue
        if identity.names and not any(_meet(identity.names, host) for host in asked):
            message = f"the certificate {identity.name} is for {', '.join(identity.names)}, which no route serves"
            yield config.problem(places[identity.fingerprint], message, "certificate-without-route")


def _meet(names: tuple[str, ...], host: str) -> bool:
    """Whether a client that is shown a certificate for ``names`` may ask for ``host``, which may be a wildcard."""
    if host.startswith("*."):
        return any(name.endswith(host[1:]) for name in names)
    return covers(names, host)
