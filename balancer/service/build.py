"""From a file to a snapshot: plug-ins loaded, the configuration read and checked, everything in it built.

Nothing here opens, binds or schedules anything: ``balancer check``, ``explain`` and ``test`` build exactly what the
service builds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from twisted.internet.task import Clock

from balancer.checks import builtins as checks
from balancer.config.listeners import AnyListener, HttpListener, TcpListener
from balancer.config.loading import UNKNOWN_NAME, Loaded, load, without_collecting
from balancer.config.matches import OWN_KEYS
from balancer.config.schema import Debug, Plugins
from balancer.config.tls import Hsts
from balancer.errors import ConfigurationError, PluginError, Problem
from balancer.filters import builtins as filters
from balancer.filters.redirect_https import RedirectHttps
from balancer.filters.trace import Debugging
from balancer.forwarding.encrypting import Encryption
from balancer.forwarding.headers import HeaderPolicy, TrustedPeers
from balancer.forwarding.mirroring.mirrors import Mirroring
from balancer.forwarding.proxy import ProxyResource
from balancer.forwarding.tunnel import TunnelSettings
from balancer.forwarding.upgrades import Upgrades
from balancer.hooks.interfaces import IFilter
from balancer.hooks.loading import load as load_plugins
from balancer.hooks.plugged import Plugged
from balancer.hooks.registry import Registry
from balancer.listeners.http import resources
from balancer.listeners.http.site import HTTPTimeouts, Site
from balancer.listeners.proxied import ProxyPolicy
from balancer.listeners.shedding import NEVER, Shedding
from balancer.listeners.tcp import TCPSettings
from balancer.listeners.udp import UDPSettings
from balancer.model.patterns import Network
from balancer.observe import formats
from balancer.pools.algorithms import builtins as algorithms
from balancer.pools.pool import Pool
from balancer.pools.probes import builtins as probes
from balancer.routing.matchers import builtins as matchers
from balancer.routing.matchers.flag import UNKNOWN
from balancer.routing.route import UnknownNameError
from balancer.service.encryption import client_context, encryption
from balancer.service.http2 import http2_limits
from balancer.service.matches import Matches, below
from balancer.service.pools import built_pool
from balancer.service.routes import built_filters, http_table, session_routes, websocket_policy
from balancer.service.runtime import Runtime
from balancer.service.snapshot import ListenerSettings, Snapshot
from balancer.tls.server_contexts import ServerContexts
from balancer.tls.shelf import Shelf
from balancer.wire.http1.heads import HeadLimits

__all__ = ["built", "loaded", "registry_for", "wrong_in_building"]

_BUILTINS: tuple[tuple[str, ModuleType], ...] = (
    ("algorithms", algorithms),
    ("probes", probes),
    ("matchers", matchers),
    ("filters", filters),
    ("checks", checks),
    ("resources", resources),
    ("access-log-formats", formats),
)


def registry_for(plugins: Plugins | None = None, *, installed: bool = True) -> Registry:
    """Return the registry of built-in things and installed packages, as ``plugins`` (default: all) wants them."""
    wanted = plugins or Plugins()
    return load_plugins(
        disable=wanted.disable,
        require=wanted.require,
        builtins=_BUILTINS,
        reserved={"matchers": OWN_KEYS},
        on_error=wanted.on_error,
        trip_after=wanted.trip_after,
        installed=installed,
    )


def loaded(path: Path) -> Loaded:
    """Return the configuration at ``path``, checked, with its plug-ins and the places of everything in it.

    Raises:
        ConfigurationError: with every problem found.
    """
    return load(path, registry_for, building=wrong_in_building)


def wrong_in_building(found: Loaded) -> list[Problem]:
    """Return what is wrong with ``found`` that only shows when it is built."""
    return _Builder(found, None).problems()


def built(found: Loaded, runtime: Runtime | None = None) -> Snapshot:
    """Return everything that ``found`` describes, built.

    ``runtime`` is the running service's; without one the snapshot can be asked, but not run.

    Raises:
        ConfigurationError: for what only shows when it is built, at its place in the file.
    """
    builder = _Builder(found, runtime)
    try:
        with without_collecting():
            return builder.snapshot()
    finally:
        vars(builder).clear()  # what reports to it is part of circles, which would keep the configuration


class _Builder:
    def __init__(self, found: Loaded, runtime: Runtime | None) -> None:
        self._config = found.config
        assert isinstance(found.registry, Registry)
        self._registry = found.registry
        self._runtime = runtime or Runtime(Clock())
        if runtime is not None:
            found.registry.clock, found.registry.threads = runtime.reactor, runtime.check_threads
        self._problems: list[Problem] = []
        self._directory = found.document.directory
        self._shelves: dict[str, Shelf] = {}
        self._pool_shelves: dict[str, Shelf] = {}
        self._encryptions: dict[str, Encryption] = {}

    def problems(self) -> list[Problem]:
        """Return what is wrong with what can be built."""
        try:
            self.snapshot()
        except ConfigurationError as error:
            return list(error.problems)
        return []

    def snapshot(self) -> Snapshot:
        config = self._config
        made: dict[str, Any] = {}
        if config.access_log is not None:
            self._plugged(("access_log", "format"), "access_log_formats", config.access_log.format, made)
        pools: dict[str, Pool] = {}
        for name in config.pools:
            self._try(("pools", name), partial(self._pool, name, pools))
        if config.flags is not None:
            self._plugged(("flags",), "flags", config.flags, made)
        without = config.flags is not None and "flags" not in made  # which is reported already
        flags = UNKNOWN if without else made.get("flags")
        self._matches = Matches(config.matches, self._registry, below(self._report, "matches"), flags)
        listeners: dict[str, ListenerSettings] = {}
        for name in config.listeners:
            self._try(("listeners", name), partial(self._listener, name, listeners, pools))
        if self._problems:
            raise ConfigurationError(self._problems)
        log_format = made.get("access_log_formats")
        return Snapshot(
            config,
            self._registry,
            pools,
            listeners,
            log_format,
            self._shelves,
            self._pool_shelves,
            self._encryptions,
        )

    def _try(self, place: tuple[str | int, ...], build: Callable[[], None]) -> None:
        try:
            build()
        except (ValueError, PluginError) as error:
            self._report(place, error)

    def _report(self, place: tuple[str | int, ...], error: Exception) -> None:
        if isinstance(error, UnknownNameError):
            place = tuple(self._config.holding(place, f"{{{error.name}}}"))
            self._problems.append(self._config.problem(place, str(error), UNKNOWN_NAME))
        else:
            self._problems.append(self._config.problem(place, str(error)))

    def _pool(self, name: str, pools: dict[str, Pool]) -> None:
        runtime, settings = self._runtime, self._config.pools[name]
        secret = self._config.secret or runtime.secret
        made: dict[str, Any] = {}
        self._plugged(("pools", name, "algorithm"), "algorithms", settings.algorithm, made)
        if settings.health is not None:
            self._plugged(("pools", name, "health", "probe"), "probes", settings.health.probe, made)
        encryption = None
        if settings.tls is not None:

            def report(place: tuple[str | int, ...], error: Exception) -> None:
                self._report(("pools", name, *place), error)

            shelf, context = client_context(settings.tls, self._directory, runtime.certificates, report)
            if context is not None:
                encryption = self._encryptions[name] = Encryption(context, runtime.wheel)
                self._pool_shelves[name] = shelf
        if "algorithms" in made:
            pools[name] = built_pool(
                name,
                settings,
                made["algorithms"],
                made.get("probes"),
                runtime.reactor,
                runtime.draw,
                secret,
                runtime.observe_pool,
                encryption,
                runtime.soon.schedule,
                another=partial(
                    self._registry.build, "algorithms", settings.algorithm.name, settings.algorithm.settings
                ),
            )

    def _queueing(self, pool: str) -> bool:
        """Whether a route to ``pool`` says how its requests wait."""
        return any(
            route.queue is not None and pool in route.pools
            for listener in self._config.listeners.values()
            if isinstance(listener, HttpListener)
            for route in listener.routes
        )

    def _plugged(self, place: tuple[str | int, ...], kind: str, wanted: Plugged, made: dict[str, Any]) -> None:
        """Build what ``wanted`` names, and keep it in ``made`` under its kind; report at ``place`` if that fails."""
        try:
            made[kind] = self._registry.build(kind, wanted.name, wanted.settings)
        except (ValueError, PluginError) as error:
            self._report(place, error)

    def _listener(self, name: str, listeners: dict[str, ListenerSettings], pools: dict[str, Pool]) -> None:
        settings = self._config.listeners[name]
        if isinstance(settings, HttpListener):
            listeners[name] = self._site(name, settings, pools)
        elif isinstance(settings, TcpListener):
            listeners[name] = TCPSettings(
                session_routes(settings),
                pools,
                settings.timeouts.idle,
                self._shedding(settings),
                self._encrypt(name, settings),
                self._proxied(settings, self._config.trusted_proxies),
                hello_timeout=settings.timeouts.hello,
                hello_size=settings.tcp.hello_size,
            )
        else:
            udp = settings.udp
            listeners[name] = UDPSettings(
                session_routes(settings),
                pools,
                udp.session_timeout,
                udp.max_sessions,
                udp.responses,
                self._shedding(settings),
            )

    def _encrypt(self, name: str, settings: HttpListener | TcpListener) -> ServerContexts | None:
        """Return what a listener speaks TLS by, None if it speaks none; what is wrong is reported."""
        if settings.tls is None:
            return None

        def report(place: tuple[str | int, ...], error: Exception) -> None:
            self._report(("listeners", name, *place), error)

        runtime = self._runtime
        certificates, proofs = runtime.certificates, runtime.ordering.proofs_of_names
        shelf, contexts = encryption(name, settings, self._directory, certificates, runtime.ticket_keys, report, proofs)
        self._shelves[name] = shelf
        return contexts

    def _shedding(self, settings: AnyListener) -> Shedding:
        return self._runtime.overload.shedding if settings.limits.shed else NEVER

    @staticmethod
    def _proxied(settings: HttpListener | TcpListener, trusted: Iterable[Network]) -> ProxyPolicy | None:
        wanted = settings.proxy_protocol
        if wanted is None:
            return None
        believed = trusted if wanted.from_ is None else wanted.from_
        return ProxyPolicy(TrustedPeers(believed), wanted.required, wanted.timeout)

    def _site(self, name: str, settings: HttpListener, pools: dict[str, Pool]) -> Site:
        runtime, http = self._runtime, settings.http

        def report(place: tuple[str | int, ...], error: Exception) -> None:
            self._report(("listeners", name, *place), error)

        tunnels = TunnelSettings(runtime.wheel, settings.timeouts.idle, websocket_policy(settings.websocket))
        upgrades = Upgrades(name, tunnels, runtime.observing.metrics.websockets)
        mirroring = Mirroring(
            runtime.mirrors, name, pools, runtime.connect_http, upgrades, lambda: runtime.overload.shedding.share > 0
        )
        proxy = ProxyResource(pools, runtime.connect_http, upgrades, mirroring=mirroring)
        auth = settings.tls.client_auth if settings.tls is not None else None
        client_certificates = auth is not None and auth.headers
        trusted = self._config.trusted_proxies if settings.trusted_proxies is None else settings.trusted_proxies
        return Site(
            listener=name,
            table=http_table(
                settings, self._registry, self._matches, proxy, self._config.secret or runtime.secret, report
            ),
            observe=runtime.observe_exchange,
            draw=runtime.draw,
            new_id=runtime.new_id,
            filters=(*_redirecting(settings), *built_filters(settings.filters, self._registry, report)),
            policy=HeaderPolicy(
                TrustedPeers(trusted), http.via, http.request_id, client_certificates, _hsts(settings.hsts)
            ),
            limits=HeadLimits(
                http.head_size,
                http.header_count,
                http.header_size,
                http.uri_size,
                frozenset(allowed.lower().encode("ascii") for allowed in http.allow_underscores),
                client_certificates,
            ),
            timeouts=HTTPTimeouts(
                settings.timeouts.head,
                settings.timeouts.body_idle,
                settings.timeouts.keep_alive,
                settings.timeouts.idle,
            ),
            http2=http2_limits(settings),
            body_size=http.body_size,
            twisted_site=runtime.twisted_site,
            shedding=self._shedding(settings),
            tls=self._encrypt(name, settings),
            proxied=self._proxied(settings, trusted),
            proofs=runtime.ordering.proofs if settings.tls is None else {},
            debugging=_debugging(self._config.debug),
            wait=runtime.wait,
        )


def _debugging(settings: Debug | None) -> Debugging | None:
    if settings is None:
        return None
    return Debugging(settings.key, settings.header.lower().encode("ascii"), settings.answer.encode("ascii"))


def _redirecting(settings: HttpListener) -> tuple[IFilter, ...]:
    """Return the filter of ``redirect_https``, which goes before all others."""
    redirect = settings.redirect_https
    if redirect is None:
        return ()
    return (RedirectHttps(redirect.port, redirect.status, challenges=bool(settings.routes)),)


def _hsts(settings: Hsts | None) -> bytes:
    """Return the value of ``Strict-Transport-Security`` (RFC 6797 section 6.1)."""
    if settings is None:
        return b""
    value = f"max-age={settings.max_age:.0f}"
    if settings.include_subdomains:
        value += "; includeSubDomains"
    return (value + "; preload" if settings.preload else value).encode("ascii")
