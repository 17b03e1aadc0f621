"""The registry: every factory that built-in rooms and installed packages offer, by kind and name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from twisted.web.resource import IResource
from zope.interface import Interface
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from balancer.errors import PluginError
from balancer.hooks.accounting import Account, in_words
from balancer.hooks.check_accounting import CheckAccount
from balancer.hooks.check_guard import GuardedCheck, Threads
from balancer.hooks.guards import GUARDS, guarded
from balancer.hooks.interfaces import (
    IAccessLogFormat,
    IAlgorithm,
    ICheck,
    IFactory,
    IFilter,
    IFlags,
    IMatcher,
    IObservingAlgorithm,
    IProbe,
)
from balancer.hooks.plugged import singular
from balancer.hooks.settings import Settings
from balancer.model.units import counted

__all__ = ["INTERFACES", "Package", "Registry"]

INTERFACES: Mapping[str, type[Interface]] = {
    "algorithms": IAlgorithm,
    "matchers": IMatcher,
    "filters": IFilter,
    "checks": ICheck,
    "probes": IProbe,
    "resources": IResource,
    "access_log_formats": IAccessLogFormat,
    "flags": IFlags,
}
"""What the factories of each kind make."""


@dataclass(slots=True)
class Package:
    """One package that was found: what it offers, or why it could not be loaded, or that it was not to be."""

    name: str
    version: str = ""
    builtin: bool = False
    error: str = ""
    disabled: bool = False
    offers: dict[str, list[str]] = field(default_factory=dict)


class Registry:
    """Factories by kind and name, and the accounts of what third-party ones made.

    Args:
        on_error: ``allow`` or ``deny``: what becomes of an exchange whose filter or check fails.
        trip_after: failures in a row that switch an object off.

    ``clock`` bounds the Deferreds of plug-ins, and ``threads`` runs checks that ask for one; the running service sets them. ``missing`` says of each package that is
    required and not there what is wrong.
    """

    def __init__(self, on_error: str = "allow", trip_after: int = 10) -> None:
        self.packages: list[Package] = []
        self.clock: Any = None
        self.threads: Threads | None = None
        self.missing: dict[str, str] = {}
        self._deny = on_error == "deny"
        self._trip_after = trip_after
        self._factories: dict[str, dict[str, IFactory]] = {}
        self._owners: dict[tuple[str, str], Package] = {}
        self._accounts: dict[tuple[str, str], Account] = {}

    def add(self, package: Package, offers: Mapping[str, Mapping[str, IFactory]]) -> None:
        """Take what ``package`` offers, all or nothing.

        Raises:
            PluginError: for a name that is taken; nothing was added.
        """
        for kind, factories in offers.items():
            for name in factories:
                owner = self._owners.get((kind, name))
                if owner is not None:
                    whose = "built in" if owner.builtin else f"offered by {owner.name}"
                    raise PluginError(f"the {singular(kind)} '{name}' is {whose} already")
        for kind, factories in offers.items():
            for name, factory in factories.items():
                self._factories.setdefault(kind, {})[name] = factory
                self._owners[kind, name] = package
                package.offers.setdefault(kind, []).append(name)
        self.packages.append(package)

    def add_failed(self, package: Package, error: str) -> None:
        """Note that ``package`` could not be loaded."""
        package.error = error
        package.offers = {}
        self.packages.append(package)

    def add_disabled(self, package: Package) -> None:
        """Note that ``package`` is there and was not imported, as the configuration says."""
        package.disabled = True
        self.packages.append(package)

    def factories(self, kind: str) -> Mapping[str, IFactory]:
        """Return the factories of ``kind`` by name."""
        return self._factories.get(kind, {})

    def build(self, kind: str, name: str, settings: Settings) -> Any:
        """Return the object that factory ``name`` makes of ``settings``; a third-party one is verified and guarded.

        Raises:
            ValueError: the settings cannot be used; the text says why.
            PluginError: the factory breaks its contract.
        """
        factory, owner = self._factories[kind][name], self._owners[kind, name]
        if owner.builtin and kind != "checks":
            return factory.build(settings)
        whose = f"{owner.name}: the {singular(kind)} '{name}'"
        try:
            made = factory.build(settings)
        except (ValueError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise PluginError(f"{whose} cannot be made: {in_words(error)}") from error
        try:
            interface: Any = INTERFACES[kind]
            if kind == "algorithms" and IObservingAlgorithm.providedBy(made):
                interface = IObservingAlgorithm
            verifyObject(interface, made)
            account = self._account(owner, kind, name)
            if isinstance(account, CheckAccount):
                return GuardedCheck(made, account, self._deny, lambda: self.clock, lambda: self.threads)
            return guarded(kind, made, account, deny=self._deny, clock=lambda: self.clock, fallback=self._json)
        except Invalid as error:
            raise PluginError(f"{whose} is not what it must be: {' '.join(str(error).split())}") from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginError(f"{whose} has an attribute that cannot be used: {in_words(error)}") from error

    def _account(self, owner: Package, kind: str, name: str) -> Account:
        """Return the account of everything that one factory makes."""
        account = self._accounts.get((kind, name))
        if account is None:
            make = CheckAccount if kind == "checks" else Account
            account = make(owner.name, singular(kind), name, self._trip_after)
            if kind == "checks" or GUARDS[kind] is not None:
                self._accounts[kind, name] = account
        return account

    def _json(self) -> Any:
        factory = self._factories["access_log_formats"]["json"]
        return factory.build(factory.settings())

    def report(self) -> list[dict[str, Any]]:
        """Return the packages as plain values: name, version, builtin, error, disabled, offers (names by kind)."""
        return [asdict(package) for package in self.packages]

    def accounts(self) -> tuple[Account, ...]:
        """Return the accounts of third-party factories that something was made of, resources apart."""
        return tuple(self._accounts.values())

    def __repr__(self) -> str:
        failed = sum(bool(package.error) for package in self.packages)
        return f"<Registry of {counted(len(self.packages), 'package')}, {failed} not loaded>"
