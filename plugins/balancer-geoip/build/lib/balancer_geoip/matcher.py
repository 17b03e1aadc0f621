"""Where a client is, by a MaxMind database."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Self

import maxminddb
from pydantic import Field, model_validator
from zope.interface import implementer

from balancer.hooks.interfaces import IMatcher
from balancer.hooks.settings import LocalPath, Settings
from balancer.model.facts import RequestFacts

_REMEMBERED = 4096
"""Clients whose place is remembered: a look-up costs some microseconds, a memory of it a tenth."""

Code = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]


class GeoIPSettings(Settings):
    """Which clients; everything that is given must hold."""

    database: LocalPath = Field(description="A database in MaxMind's format (.mmdb).")
    country: tuple[Code, ...] = Field(default=(), description="ISO 3166 codes of countries: `[DE, AT]`.")
    continent: tuple[Code, ...] = Field(default=(), description="AF, AN, AS, EU, NA, OC, SA.")
    asn: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(), description="Numbers of autonomous systems; needs an ASN database."
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.country or self.continent or self.asn):
            raise ValueError("expected one of country, continent, asn")
        return self


@implementer(IMatcher)
class GeoIP:
    """Looks clients up."""

    def __init__(self, settings: GeoIPSettings) -> None:
        try:
            reader = maxminddb.open_database(settings.database)
        except (OSError, maxminddb.InvalidDatabaseError) as error:
            raise ValueError(f"the database {settings.database} cannot be read: {error}") from error
        self._reader = reader
        self._ipv6 = reader.metadata().ip_version == 6
        self._settings = settings
        self._holds_for = lru_cache(_REMEMBERED)(self._look_up)

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether the client is in one of the places."""
        return self._holds_for(facts.client_ip)

    def _look_up(self, ip: str) -> bool:
        if not ip or (":" in ip and not self._ipv6):
            return False
        found: Any = self._reader.get(ip)
        if not isinstance(found, dict):
            return False
        wanted = self._settings
        country = found.get("country") or found.get("registered_country") or {}
        return (
            (not wanted.country or country.get("iso_code") in wanted.country)
            and (not wanted.continent or found.get("continent", {}).get("code") in wanted.continent)
            and (not wanted.asn or found.get("autonomous_system_number") in wanted.asn)
        )

    def describe(self) -> str:
        """Say which places."""
        wanted = self._settings
        parts = [
            f"{name} is {' or '.join(map(str, values))}"
            for name, values in (("country", wanted.country), ("continent", wanted.continent), ("AS", wanted.asn))
            if values
        ]
        return ", ".join(parts)
