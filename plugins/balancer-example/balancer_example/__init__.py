"""A complete plug-in package: the hooks, and what they offer."""

from __future__ import annotations

from collections.abc import Iterable

from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory, IFactory
from balancer_example.banner import Banner, BannerSettings
from balancer_example.footer import Footer, FooterSettings
from balancer_example.hello import Hello, HelloSettings
from balancer_example.office_hours import OfficeHours, OfficeHoursSettings
from balancer_example.primary import Primary
from balancer_example.scanner import Scanner, ScannerSettings
from balancer_example.stamp import Stamp, StampSettings
from balancer_example.tsv import Tsv


@hookimpl
def balancer_algorithms() -> Iterable[IFactory]:
    """``algorithm: primary``."""
    return [Factory("primary", lambda _: Primary())]


@hookimpl
def balancer_matchers() -> Iterable[IFactory]:
    """``match: {office_hours: {begin: 9, end: 17}}``."""
    return [Factory("office_hours", OfficeHours, OfficeHoursSettings)]


@hookimpl
def balancer_filters() -> Iterable[IFactory]:
    """``filters: [{stamp: {header: X-Stamp, value: hello}}, {footer: "<!-- hello -->"}]``."""
    return [Factory("stamp", Stamp, StampSettings), Factory("footer", Footer, FooterSettings, bare="text")]


@hookimpl
def balancer_checks() -> Iterable[IFactory]:
    """``filters: [{waf: {checks: [scanner]}}]``."""
    return [Factory("scanner", Scanner, ScannerSettings)]


@hookimpl
def balancer_probes() -> Iterable[IFactory]:
    """``health: {probe: {banner: "220 "}}``."""
    return [Factory("banner", Banner, BannerSettings, bare="expect")]


@hookimpl
def balancer_resources() -> Iterable[IFactory]:
    """``resource: {hello: {name: world}}``."""
    return [Factory("hello", Hello, HelloSettings, bare="name")]


@hookimpl
def balancer_access_log_formats() -> Iterable[IFactory]:
    """``access_log: {format: tsv}``."""
    return [Factory("tsv", lambda _: Tsv())]
