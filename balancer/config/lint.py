"""What is allowed and yet probably not meant: ``balancer check --lint``.

Works on a valid configuration. Routes that can never be reached are found by :mod:`balancer.routing`, which knows the
order in which routes are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from balancer.config.attempts_lint import pointless_attempts
from balancer.config.listeners import AnyListener, HttpListener, UdpListener
from balancer.config.matches import Match, SessionMatch, StreamMatch
from balancer.config.paths import missing_paths
from balancer.config.pool_lint import pointless_policies
from balancer.config.routes import Route
from balancer.config.schema import Config
from balancer.errors import Problem
from balancer.model.address import Address
from balancer.model.patterns import PathPattern

__all__ = ["lint"]


def lint(config: Config) -> list[Problem]:
    """Return what is doubtful in ``config``, each with a code by its kind, in the order of the file."""
    found = [problem for rule in _RULES for problem in rule(config)]
    return sorted(found, key=lambda problem: (problem.line, problem.column))


def _unused_pools(config: Config) -> Iterator[Problem]:
    used = {name for listener in config.listeners.values() for route in listener.routes for name in route.pools}
    used |= {name for listener in config.listeners.values() for name in _by_filters(listener)}
    for name in config.pools:
        if name not in used:
            yield config.problem(("pools", name), "no route leads to this pool", "unused-pool")


def _by_filters(listener: AnyListener) -> Iterator[str]:
    """Yield the names of the pools that filters send something to."""
    if isinstance(listener, HttpListener):
        for filters in (listener.filters, *(route.filters for route in listener.routes)):
            for each in filters:
                yield from getattr(each.settings, "pools", ())


def _unwatched_pools(config: Config) -> Iterator[Problem]:
    for name, pool in config.pools.items():
        if pool.health is None:
            watched = "; only passive detection notices a dead server" if pool.passive is not None else ""
            yield config.problem(("pools", name), f"no active health check ('health:'){watched}", "no-health-check")
            if pool.passive is None:
                yield config.problem(
                    ("pools", name, "passive"),
                    "nothing notices a dead server: no health check, and passive is off",
                    "no-detection",
                )


def _slow_probes(config: Config) -> Iterator[Problem]:
    for name, pool in config.pools.items():
        if pool.health is not None and pool.health.timeout > pool.health.interval:
            yield config.problem(
                ("pools", name, "health", "timeout"),
                "a probe may last longer than the interval between two",
                "slow-probe",
            )


def _idle_servers(config: Config) -> Iterator[Problem]:
    for name, pool in config.pools.items():
        if all(server.weight == 0 for server in pool.servers):
            yield config.problem(
                ("pools", name, "servers"), "every server has the weight 0: none takes traffic", "no-weight"
            )
        if all(server.backup for server in pool.servers):
            yield config.problem(("pools", name, "servers"), "every server is a backup of nothing", "only-backups")


def _open_ends(config: Config) -> Iterator[Problem]:
    for name, listener in config.listeners.items():
        if any(route.match in (Match(), SessionMatch(), StreamMatch()) for route in listener.routes) or _redirects(
            listener
        ):
            continue
        if any(
            isinstance(route.match, StreamMatch) and (route.match.sni or route.match.alpn) for route in listener.routes
        ):
            continue  # a list of names is meant as one: others are refused
        fate = "answered with 404" if isinstance(listener, HttpListener) else "closed"
        yield config.problem(
            ("listeners", name), f"no route without 'match': what none of them takes is {fate}", "no-catch-all"
        )


def _redirects(listener: AnyListener) -> bool:
    return isinstance(listener, HttpListener) and listener.redirect_https is not None


def _shadowed_routes(config: Config) -> Iterator[Problem]:
    """Routes of listeners that redirect everything."""
    for name, listener in config.listeners.items():
        if not isinstance(listener, HttpListener) or listener.redirect_https is None:
            continue
        for at, route in enumerate(listener.routes):
            paths = route.match.path
            if paths and not any(_may_be_challenge(pattern) for pattern in paths):
                message = (
                    "'redirect_https' answers first: only /.well-known/acme-challenge/** gets as far as the routes"
                )
                yield config.problem(("listeners", name, "routes", at), message, "unreachable-route")


def _may_be_challenge(pattern: PathPattern) -> bool:
    if pattern.kind == "regex":
        return True
    wanted = (".well-known", "acme-challenge")
    parts = zip(pattern.segments, wanted, strict=False)
    return all(part == each or part.startswith("{") for part, each in parts)


def _loose_regexes(config: Config) -> Iterator[Problem]:
    for name, listener in config.listeners.items():
        for at, route in enumerate(listener.routes):
            for pattern in route.match.path if isinstance(route, Route) else ():
                if pattern.kind == "regex" and not pattern.text.startswith(("^", r"\A", "(?")):
                    yield config.problem(
                        ("listeners", name, "routes", at, "match", "path"),
                        f"the expression {pattern.text!r} is found anywhere in a path; begin it with '^' if the path shall begin so",
                        "loose-regex",
                    )


def _sticky(config: Config) -> Iterator[Problem]:
    unsigned = config.secret is None
    protocols = _protocols(config)
    for name, pool in config.pools.items():
        if pool.sticky is None:
            continue
        place = ("pools", name, "sticky")
        if pool.sticky.cookie is not None and unsigned:
            yield config.problem(
                place,
                "sticky cookies without a 'secret' are void after a restart and on other nodes",
                "sticky-without-secret",
            )
        others = protocols.get(name, set()) - {"http"}
        if others and pool.sticky.source_ip is None:
            kind = "cookies" if pool.sticky.cookie is not None else "headers"
            yield config.problem(
                place,
                f"there are no {kind} in {' and '.join(sorted(others))} sessions: use source_ip",
                "sticky-without-http",
            )
        if pool.sticky.cookie is not None and pool.sticky.cookie.same_site == "none" and not pool.sticky.cookie.secure:
            yield config.problem(
                (*place, "cookie", "same_site"),
                "browsers drop a cookie with same_site: none that is not secure",
                "cookie-dropped",
            )


def _sides(config: Config) -> Iterator[Problem]:
    for name, listener in config.listeners.items():
        for at, route in enumerate(listener.routes if isinstance(listener, HttpListener) else ()):
            split, place = route.split, ("listeners", name, "routes", at, "split")
            if split is None:
                continue
            cookie = split.sticky.cookie if split.sticky is not None else None
            if cookie is not None and config.secret is None:
                yield config.problem(
                    (*place, "sticky"),
                    "sticky cookies without a 'secret' are void after a restart and on other nodes",
                    "sticky-without-secret",
                )
            if cookie is not None and cookie.same_site == "none" and not cookie.secure:
                yield config.problem(
                    (*place, "sticky", "cookie", "same_site"),
                    "browsers drop a cookie with same_site: none that is not secure",
                    "cookie-dropped",
                )
            if len(split.weights) == 1:
                yield config.problem(place, "a split of one pool divides nothing: use 'pool'", "pointless-split")


def _trust(config: Config) -> Iterator[Problem]:
    places = [(("trusted_proxies",), config.trusted_proxies)] + [
        (("listeners", name, "trusted_proxies"), listener.trusted_proxies or ())
        for name, listener in config.listeners.items()
        if isinstance(listener, HttpListener)
    ]
    for loc, networks in places:
        for at, network in enumerate(networks):
            if network.prefixlen == 0:
                yield config.problem(
                    (*loc, at), f"{network}: every client can pretend to be another", "trusts-everyone"
                )


def _proxy_protocol(config: Config) -> Iterator[Problem]:
    for name, listener in config.listeners.items():
        wanted = None if isinstance(listener, UdpListener) else listener.proxy_protocol
        if wanted is None:
            continue
        place = ("listeners", name, "proxy_protocol")
        for at, network in enumerate(wanted.from_ or ()):
            if network.prefixlen == 0:
                at_network = (*place, "from", at)
                yield config.problem(
                    at_network, f"{network}: every client can pretend to be another", "trusts-everyone"
                )
        own = listener.trusted_proxies if isinstance(listener, HttpListener) else None
        if wanted.from_ is None and not (config.trusted_proxies if own is None else own):
            fate = "refused" if wanted.required and listener.protocol == "tcp" else "served as they are"
            yield config.problem(
                place,
                f"no 'trusted_proxies', and no 'from': nobody's PROXY header is believed, and all are {fate}",
                "proxy-protocol-without-trust",
            )


def _exposed(config: Config) -> Iterator[Problem]:
    for name in ("metrics", "admin"):
        part = getattr(config, name)
        for at, text in enumerate(part.bind if part is not None else ()):
            if text.startswith(("0.0.0.0:", "[::]:", "*:")):
                yield config.problem((name, "bind", at), f"{text}: open to every network this machine is in", "exposed")


def _loops(config: Config) -> Iterator[Problem]:
    """Servers that are this balancer itself."""
    ours: dict[tuple[bool, int], set[str]] = {}
    for listener in config.listeners.values():
        for text in listener.bind:
            try:
                address = Address.parse(f"0.0.0.0{text[1:]}" if text.startswith("*:") else text)
            except ValueError:
                continue
            ours.setdefault((listener.protocol == "udp", address.port), set()).add(address.host)
    protocols = _protocols(config)
    for name, pool in config.pools.items():
        used = {protocol == "udp" for protocol in protocols.get(name, ())}
        for at, server in enumerate(pool.servers):
            host, port = server.address.host, server.address.port
            local = host == "localhost" or (server.address.ip is not None and server.address.ip.is_loopback)
            hosts = set().union(*(ours.get((datagrams, port), set()) for datagrams in used))
            if port and (host in hosts or (local and hosts & {"0.0.0.0", "::"})):
                message = f"{server.address} is where this balancer itself listens: traffic would go round"
                yield config.problem(("pools", name, "servers", at), message, "loop")


def _protocols(config: Config) -> dict[str, set[str]]:
    """Return the protocols of the listeners that lead to each pool."""
    found: dict[str, set[str]] = {}
    for listener in config.listeners.values():
        for route in listener.routes:
            for name in route.pools:
                found.setdefault(name, set()).add(listener.protocol)
        for name in _by_filters(listener):
            found.setdefault(name, set()).add(listener.protocol)
    return found


_RULES: tuple[Callable[[Config], Iterator[Problem]], ...] = (
    _unused_pools,
    _unwatched_pools,
    _slow_probes,
    _idle_servers,
    _open_ends,
    _shadowed_routes,
    _loose_regexes,
    _sticky,
    _sides,
    _trust,
    _proxy_protocol,
    _exposed,
    _loops,
    pointless_policies,
    pointless_attempts,
    missing_paths,
)
