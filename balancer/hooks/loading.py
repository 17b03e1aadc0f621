"""Loading plug-ins: the built-in rooms first, then every installed package of the entry-point group ``balancer``.

pluggy's own loader stops at the first package that does not import. This one goes on: a package that cannot be
imported, misspells a hook, raises in one, offers what is no factory or a name that is taken is left out **whole** and
reported, and the others are not touched. All or nothing, because half a package is a configuration that works by luck.
A name belongs to what is built in, then to the first package in the order of their names.
"""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, distributions, entry_points
from typing import Any
from weakref import WeakSet

import pluggy
from twisted.logger import Logger
from twisted.python.reflect import safe_repr

from balancer.errors import PluginError
from balancer.hooks.accounting import in_words
from balancer.hooks.interfaces import IFactory
from balancer.hooks.plugged import singular
from balancer.hooks.registry import Package, Registry
from balancer.hooks.settings import Settings
from balancer.hooks.spec import KINDS, Hooks
from balancer.model.suggestions import did_you_mean

__all__ = ["GROUP", "load", "offers_of"]

GROUP = "balancer"
"""The entry-point group: ``[options.entry_points] balancer = NAME = package.module``."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")

_DESCRIBED: WeakSet[type[Settings]] = WeakSet()
"""Models that are known to have a JSON Schema: to find out takes a millisecond for each, which a reload need not pay again."""

_log = Logger()


def load(
    *,
    disable: Sequence[str] = (),
    require: Sequence[str] = (),
    builtins: Sequence[tuple[str, Any]] = (),
    reserved: Mapping[str, Collection[str]] | None = None,
    on_error: str = "allow",
    trip_after: int = 10,
    installed: bool = True,
) -> Registry:
    """Return the registry of what is built in and installed.

    Args:
        disable: packages, by the name of their distribution or entry point, that are not even imported.
        require: packages that must be there; what is wrong with one that is not is in ``registry.missing``.
        builtins: names and modules of built-in rooms.
        reserved: names by kind that mean something else in a configuration, and that no package can offer.
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
    found: dict[str, list[Package]] = {}
    for point in _points() if installed else ():
        package = Package(_distribution(point), (point.dist and point.dist.version) or "")
        names = {_plain(point.name), _plain(package.name)}
        for name in names:
            found.setdefault(name, []).append(package)
        if names & off:
            registry.add_disabled(package)
            continue
        try:
            offers = offers_of(package.name, _imported(point))
            _keep_off(offers, reserved or {})
            registry.add(package, offers)
        except PluginError as error:
            registry.add_failed(package, str(error))
    _miss(registry, require, found)
    return registry


def _points() -> list[EntryPoint]:
    """Return the entry points of the group, in the order of their packages' names."""
    try:
        points = list(entry_points(group=GROUP))
    except Exception:  # one installed package, of whatever kind, has damaged metadata: leave out that one
        points = []
        for distribution in distributions():
            try:
                points += distribution.entry_points.select(group=GROUP)
            except Exception:
                _log.failure("a package has entry points that cannot be read: {package!r}", package=distribution)
    return sorted(points, key=lambda point: (_plain(_distribution(point)), point.name))


def _distribution(point: EntryPoint) -> str:
    return (point.dist and point.dist.name) or point.name


def _plain(name: str) -> str:
    """Return the normalised form of a package's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _miss(registry: Registry, require: Iterable[str], found: Mapping[str, Sequence[Package]]) -> None:
    """Note which of the required packages are not there."""
    for name in require:
        packages = found.get(_plain(name), ())
        errors = [package.error for package in packages if package.error]
        if not packages:
            what = f"not installed{did_you_mean(_plain(name), found)}"
        elif any(package.disabled for package in packages):
            what = "also disabled"
        elif errors:
            what = f"cannot be loaded: {'; '.join(errors)}"
        else:
            continue
        registry.missing[name] = f"the package '{name}' is required, but {what}"


@contextmanager
def _blaming(what: str) -> Iterator[None]:
    """Turn whatever the package's code raises into a PluginError that begins with ``what`` and ends with where."""
    try:
        yield
    except (KeyboardInterrupt, PluginError):
        raise
    except BaseException as error:  # a module may even call sys.exit()
        raise PluginError(f"{what}: {in_words(error)}{_place(error)}") from error


def _place(error: BaseException) -> str:
    """Return file and line of the code that raised, where that is not plain from the words."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    if isinstance(error, SyntaxError) or not frames or frames[-1].filename == __file__:
        return ""
    return f" ({frames[-1].filename}, line {frames[-1].lineno})"


def _imported(point: EntryPoint) -> Any:
    with _blaming(f"{point.value} does not import"):
        return point.load()


def offers_of(name: str, module: Any) -> dict[str, dict[str, IFactory]]:
    """Return what the hooks in ``module`` return, by kind and name; ``name`` is what errors call it.

    Raises:
        PluginError: saying what the package must mend.
    """
    manager = pluggy.PluginManager("balancer")
    manager.add_hookspecs(Hooks)
    with _blaming("its hooks cannot be read"):
        try:
            manager.register(module, name)
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginError(_said_of_hooks(module, error)) from error
    callers = manager.get_hookcallers(module)
    if not callers:
        raise PluginError(f"it has no hooks: mark functions called balancer_{KINDS[0]} and the like with hookimpl")
    offers: dict[str, dict[str, IFactory]] = {}
    for kind in KINDS:
        hook = f"balancer_{kind}"
        caller = getattr(manager.hook, hook)
        if caller not in callers:
            continue
        with _blaming(f"the hook {hook} failed"):
            if any(implementation.wrapper or implementation.hookwrapper for implementation in caller.get_hookimpls()):
                raise PluginError(f"the hook {hook} is a wrapper, and there is nothing to wrap: return factories")
            returned = caller()
            if not returned:
                raise PluginError(f"the hook {hook} returned None, not factories")
            for factory in list(returned[0]):
                _check(hook, factory)
                if offers.setdefault(kind, {}).setdefault(factory.name, factory) is not factory:
                    raise PluginError(f"the hook {hook} returned two factories called '{factory.name}'")
    return offers


def _said_of_hooks(module: Any, error: pluggy.PluginValidationError) -> str:
    known = [f"balancer_{kind}" for kind in KINDS]
    marked = [name for name in dir(module) if hasattr(getattr(module, name, None), "balancer_impl")]
    for name in marked:
        if name not in known:
            return f"there is no hook '{name}'{did_you_mean(name, known)}"
    return " ".join(str(error).split())


def _check(hook: str, factory: Any) -> None:
    """Raise PluginError for what is no factory."""
    name = getattr(factory, "name", None)
    if not isinstance(name, str):
        raise PluginError(
            f"the hook {hook} returned {safe_repr(factory)}, which is no factory: it has no name; return"
            " balancer.hooks.interfaces.Factory objects"
        )
    if not _NAME.fullmatch(name):
        raise PluginError(f"the hook {hook} offers '{name}': a name is lower-case letters, digits and underscores")
    offer = f"the hook {hook} offers '{name}'"
    settings = getattr(factory, "settings", None)
    if not (inspect.isclass(settings) and issubclass(settings, Settings)):
        raise PluginError(f"{offer}, whose settings are no subclass of Settings: {safe_repr(settings)}")
    if settings not in _DESCRIBED:
        with _blaming(f"{offer}, whose settings have no JSON Schema"):
            settings.model_json_schema()
        _DESCRIBED.add(settings)
    if not callable(getattr(factory, "build", None)):
        raise PluginError(f"{offer}, which cannot build() anything")
    bare = getattr(factory, "bare", "")
    if bare and bare not in settings.model_fields:
        raise PluginError(f"{offer}, whose settings have no field '{bare}' to set bare")


def _keep_off(offers: Mapping[str, Mapping[str, IFactory]], reserved: Mapping[str, Collection[str]]) -> None:
    for kind, names in reserved.items():
        for name in offers.get(kind, ()):
            if name in names:
                raise PluginError(f"the {singular(kind)} '{name}' is built in already")
