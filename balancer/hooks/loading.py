"""Loading plug-ins: the built-in rooms first, then every installed package of the entry-point group ``balancer``.

pluggy's own loader stops at the first package that does not import. This one goes on: a package that cannot be
imported, misspells a hook, raises in one, or offers what is no factory is left out whole and reported, and the others
are not touched.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from balancer.errors import PluginError
from balancer.hooks.interfaces import IFactory
from balancer.hooks.registry import Package, Registry
from balancer.hooks.settings import Settings
from balancer.hooks.spec import KINDS, Hooks
from balancer.model.suggestions import did_you_mean

__all__ = ["GROUP", "load", "offers_of"]

GROUP = "balancer"
"""The entry-point group: ``[options.entry_points] balancer = NAME = package.module``."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def load(
    *,
    disable: Sequence[str] = (),
    require: Sequence[str] = (),
    builtins: Sequence[tuple[str, Any]] = (),
    on_error: str = "allow",
    trip_after: int = 10,
    installed: bool = True,
) -> Registry:
    """Return the registry of what is built in and installed.

    Args:
        disable: packages, by the name of their distribution or entry point, that are not even imported.
        require: packages that must be there; what is wrong with one that is not is in ``registry.missing``.
        builtins: names and modules of built-in rooms.
        on_error: see :class:`~.registry.Registry`.
        trip_after: likewise.
        installed: whether to look for installed packages at all.

    Raises:
        PluginError: a built-in room breaks the contract, which is a mistake of ours.
    """
    registry = Registry(on_error, trip_after)
    for name, module in builtins:
        registry.add(Package(name, builtin=True), offers_of(name, module))
    off = frozenset(map(_plain, disable))
    names: set[str] = set()
    points = entry_points(group=GROUP) if installed else ()
    for point in sorted(points, key=lambda point: (_distribution(point), point.name)):
        known = {_plain(point.name), _plain(_distribution(point))}
        names |= known
        if known & off:
            continue
        package = Package(_distribution(point), point.dist.version if point.dist else "")
        try:
            registry.add(package, offers_of(package.name, _imported(point)))
        except PluginError as error:
            registry.add_failed(package, str(error))
    _miss(registry, require, names, off)
    return registry


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.name


def _plain(name: str) -> str:
    """Return the normalised form of a package's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _miss(registry: Registry, require: Iterable[str], names: set[str], off: frozenset[str]) -> None:
    """Note which of the required packages are not there."""
    failed = {_plain(package.name): package.error for package in registry.packages if not package.builtin}
    for name in require:
        plain = _plain(name)
        if plain in off:
            registry.missing[name] = f"the package '{name}' is required, but also disabled"
        elif plain not in names:
            registry.missing[name] = f"the package '{name}' is required, but not installed{did_you_mean(plain, names)}"
        elif failed.get(plain):
            registry.missing[name] = f"the package '{name}' is required, but cannot be loaded: {failed[plain]}"


def _imported(point: EntryPoint) -> Any:
    try:
        return point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may even call sys.exit()
        raise PluginError(f"{point.value} does not import: {type(error).__name__}: {error}") from error


def offers_of(name: str, module: Any) -> dict[str, dict[str, IFactory]]:
    """Return what the hooks in ``module`` return, by kind and name; ``name`` is what errors call it.

    Raises:
        PluginError: saying what the package must mend.
    """
    manager = pluggy.PluginManager("balancer")
    manager.add_hookspecs(Hooks)
    try:
        manager.register(module, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(_in_words(module, error)) from error
    offers: dict[str, dict[str, IFactory]] = {}
    for kind in KINDS:
        hook = f"balancer_{kind}"
        try:
            returned = [list(each) for each in getattr(manager.hook, hook)()]
        except Exception as error:
            raise PluginError(f"the hook {hook} failed: {type(error).__name__}: {error}") from error
        for factories in returned:
            for factory in factories:
                _check(hook, factory)
                if offers.setdefault(kind, {}).setdefault(factory.name, factory) is not factory:
                    raise PluginError(f"the hook {hook} returned two factories called '{factory.name}'")
    if not offers:
        raise PluginError(f"it has no hooks: mark functions called balancer_{KINDS[0]} and the like with hookimpl")
    return offers


def _in_words(module: Any, error: pluggy.PluginValidationError) -> str:
    known = [f"balancer_{kind}" for kind in KINDS]
    marked = [name for name in dir(module) if hasattr(getattr(module, name, None), "balancer_impl")]
    for name in marked:
        if name not in known:
            return f"there is no hook '{name}'{did_you_mean(name, known)}"
    return " ".join(str(error).split())


def _check(hook: str, factory: Any) -> None:
    """Raise PluginError for what is no factory."""
    where = f"the hook {hook} returned {factory!r}, which is no factory"
    name = getattr(factory, "name", None)
    if not isinstance(name, str):
        raise PluginError(f"{where}: it has no name; return balancer.hooks.interfaces.Factory objects")
    if not _NAME.fullmatch(name):
        raise PluginError(f"the hook {hook} offers '{name}': a name is lower-case letters, digits and underscores")
    settings = getattr(factory, "settings", None)
    if not (inspect.isclass(settings) and issubclass(settings, Settings)):
        raise PluginError(f"the hook {hook} offers '{name}', whose settings are no subclass of Settings: {settings!r}")
    if not callable(getattr(factory, "build", None)):
        raise PluginError(f"the hook {hook} offers '{name}', which cannot build() anything")
    bare = getattr(factory, "bare", "")
    if bare and bare not in settings.model_fields:
        raise PluginError(f"the hook {hook} offers '{name}', whose settings have no field '{bare}' to set bare")
