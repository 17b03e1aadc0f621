"""Tests of loading packages."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.filters import builtins
from balancer.hooks import loading, spec
from balancer.hooks.guards import GUARDS
from balancer.hooks.loading import load
from balancer.hooks.registry import INTERFACES, Registry
from balancer.service.build import registry_for
from tests.hooks.hostile import HOSTILE, install

_HEAD = """
from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory
"""
_GOOD = _HEAD + "@hookimpl\ndef balancer_matchers(): return [Factory('{name}', lambda settings: None)]\n"
BROKEN = {
    "raises-at-import": ("raise ImportError('no such thing')", "does not import: ImportError: no such thing"),
    "is-no-python": ("def (", "does not import: SyntaxError"),
    "exits": ("import sys; sys.exit(3)", "does not import: SystemExit"),
    "misspells": (
        _HEAD + "@hookimpl\ndef balancer_algorithm(): return []",
        "there is no hook 'balancer_algorithm'; did you mean",
    ),
    "wants-arguments": (_HEAD + "@hookimpl\ndef balancer_filters(config): return []", "config"),
    "raises-in-hook": (
        _HEAD + "@hookimpl\ndef balancer_filters(): raise KeyError('x')",
        "the hook balancer_filters failed: KeyError",
    ),
    "raises-midway": (
        _HEAD + "@hookimpl\ndef balancer_filters():\n    yield Factory('fine', print)\n    raise KeyError('x')",
        "the hook balancer_filters failed",
    ),
    "returns-a-number": (
        _HEAD + "@hookimpl\ndef balancer_filters(): return 7",
        "the hook balancer_filters failed: TypeError",
    ),
    "returns-strings": (_HEAD + "@hookimpl\ndef balancer_filters(): return ['headers']", "no factory"),
    "bad-name": (_HEAD + "@hookimpl\ndef balancer_filters(): return [Factory('No Name', print)]", "'No Name'"),
    "bad-settings": (
        _HEAD + "@hookimpl\ndef balancer_filters(): return [Factory('x', print, dict)]",
        "no subclass of Settings",
    ),
    "bad-build": (_HEAD + "@hookimpl\ndef balancer_filters(): return [Factory('x', 7)]", "cannot build()"),
    "bad-bare": (_HEAD + "@hookimpl\ndef balancer_filters(): return [Factory('x', print, bare='y')]", "no field 'y'"),
    "twice": (
        _HEAD + "@hookimpl\ndef balancer_filters(): return [Factory('x', print), Factory('x', print)]",
        "two factories",
    ),
    "takes-a-name": (
        _HEAD + "@hookimpl\ndef balancer_filters(): return [Factory('headers', print)]",
        "'headers' is built in",
    ),
    "takes-a-key": (
        _HEAD + "@hookimpl\ndef balancer_matchers(): return [Factory('host', print)]",
        "the matcher 'host' is built in",
    ),
    "no-hooks": ("x = 1", "it has no hooks"),
    "cancelled": ("import asyncio; raise asyncio.CancelledError", "does not import: CancelledError"),
    "exits-in-hook": (
        _HEAD + "import sys\n@hookimpl\ndef balancer_filters(): sys.exit('bye')",
        "the hook balancer_filters failed: SystemExit: bye (",
    ),
    "forgets-to-return": (
        _HEAD + "@hookimpl\ndef balancer_filters(): [Factory('x', print)]",
        "the hook balancer_filters returned None",
    ),
    "wraps": (_HEAD + "@hookimpl(wrapper=True)\ndef balancer_filters(): return (yield)", "is a wrapper"),
    "unspeakable": (
        _HEAD + "class X:\n    def __repr__(self): raise KeyError('x')\n"
        "@hookimpl\ndef balancer_filters(): return [X()]",
        "which is no factory",
    ),
    "nameless": (
        _HEAD + "class X:\n    @property\n    def name(self): raise KeyError('x')\n"
        "@hookimpl\ndef balancer_filters(): return [X()]",
        "the hook balancer_filters failed: KeyError: 'x' (",
    ),
    "wordless": (
        "class E(Exception):\n    def __str__(self): raise KeyError('x')\nraise E",
        "does not import: E: ",
    ),
    "no-schema": (
        _HEAD + "from balancer.hooks.settings import Settings\nclass X: pass\nclass S(Settings):\n    x: X\n"
        "@hookimpl\ndef balancer_filters(): return [Factory('x', print, S)]",
        "whose settings have no JSON Schema",
    ),
}


class LoadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        sys.path.insert(0, str(self.folder))
        self.addCleanup(sys.path.remove, str(self.folder))
        self.addCleanup(importlib.invalidate_caches)
        modules = set(sys.modules)
        self.addCleanup(
            lambda: [
                sys.modules.pop(name) for name in set(sys.modules) - modules if "-" not in name and name in self.names
            ]
        )
        self.names: set[str] = set()

    def install(self, name: str, source: str) -> None:
        self.names.add(name.replace("-", "_"))
        install(self.folder, name, source)
        importlib.invalidate_caches()

    def load(self, **settings: Any) -> Registry:
        from balancer.config.schema import Plugins

        return registry_for(Plugins(**settings))

    def report(self, registry: Registry) -> dict[str, dict[str, Any]]:
        return {each["name"]: each for each in registry.report()}

    def test_broken_packages(self) -> None:
        """Each broken package is left out whole, says why, and stops none of the others."""
        for name, (source, _) in BROKEN.items():
            self.install(name, source)
        self.install("good-one", _GOOD.format(name="good"))
        registry = self.load()
        report = self.report(registry)
        for name, (_, words) in BROKEN.items():
            self.assertIn(words, report[name]["error"], name)
            self.assertEqual(report[name]["offers"], {})
        self.assertEqual((report["good-one"]["error"], report["good-one"]["offers"]), ("", {"matchers": ["good"]}))
        self.assertIn("good", registry.factories("matchers"))
        built_in = {each.name for each in builtins.balancer_filters()}
        self.assertEqual(set(registry.factories("filters")), built_in)

    def test_first_come(self) -> None:
        """Of two packages that offer the same name the second, in the order of their names, is left out."""
        self.install("package-a", _GOOD.format(name="same"))
        self.install("package-b", _GOOD.format(name="same"))
        report = self.report(self.load())
        self.assertEqual(report["package-a"]["error"], "")
        self.assertIn("offered by package-a already", report["package-b"]["error"])

    def test_disable(self) -> None:
        """A disabled package is not even imported, and is reported as such; any spelling of its name will do."""
        self.install("package-c", "raise AssertionError")
        report = self.report(self.load(disable=("Package_C",)))["package-c"]
        self.assertEqual((report["disabled"], report["error"], report["offers"]), (True, "", {}))
        self.assertNotIn("package_c", sys.modules)

    def test_place(self) -> None:
        """An error tells the file and line in the package that raised it, and fits one line."""
        self.install("package-d", "x = 1\nraise ValueError('one\\ntwo')")
        error = self.report(self.load())["package-d"]["error"]
        file = (self.folder / "package_d.py").absolute()
        self.assertEqual(error, f"package_d does not import: ValueError: one two ({file}, line 2)")

    def test_offers_nothing(self) -> None:
        """A package whose hooks return nothing for now is as good as any."""
        self.install("package-e", _HEAD + "@hookimpl\ndef balancer_filters(): return ()")
        self.assertEqual(self.report(self.load())["package-e"]["error"], "")

    def test_interrupted(self) -> None:
        """Ctrl-C while a package is imported is not taken for its failure."""
        self.install("package-f", "raise KeyboardInterrupt")
        self.assertRaises(KeyboardInterrupt, self.load)

    def test_damaged_metadata(self) -> None:
        """An installed package of any kind whose entry points cannot be read stops no other."""
        self.install("good-three", _GOOD.format(name="three"))
        self.install("damaged", "")
        (self.folder / "damaged-1.0.dist-info" / "entry_points.txt").write_text("[balancer]\nno equals sign\n")
        report = self.report(self.load())
        self.assertEqual(report["good-three"]["offers"], {"matchers": ["three"]})
        self.assertNotIn("damaged", report)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_no_metadata(self) -> None:
        """A package without name and version goes by the name of its entry point."""
        self.install("no-metadata", _GOOD.format(name="plain"))
        (self.folder / "no_metadata-1.0.dist-info" / "METADATA").write_text("")
        report = self.report(self.load())
        self.assertEqual((report["no_metadata"]["version"], report["no_metadata"]["error"]), ("", ""))

    def test_require(self) -> None:
        """What is wrong with a required package is said."""
        self.install("good-two", _GOOD.format(name="two"))
        self.install("bad-two", "1/0")
        registry = self.load(require=("good_two", "bad-two", "godo-two"))
        self.assertEqual(set(registry.missing), {"bad-two", "godo-two"})
        self.assertIn("ZeroDivisionError", registry.missing["bad-two"])
        self.assertIn("not installed; did you mean", registry.missing["godo-two"])
        folder = self.folder / "bad_two-1.0.dist-info"
        (folder / "entry_points.txt").write_text("[balancer]\nbad_point = bad_two\ngood_point = good_two\n")
        for name in ("bad-two", "bad_point"):
            self.assertIn("cannot be loaded", self.load(require=(name,)).missing[name])
        self.assertIn("also disabled", self.load(require=("good-two",), disable=("good-two",)).missing["good-two"])

    def test_hostile(self) -> None:
        """A package that only raises later is loaded, and makes guarded objects."""
        self.install("hostile-one", HOSTILE)
        registry = self.load()
        for kind in ("algorithms", "matchers", "filters", "checks", "probes", "access_log_formats", "flags"):
            factory = registry.factories(kind)["hostile"]
            made = registry.build(kind, "hostile", factory.settings())
            if kind != "checks":  # the filter calls their guards otherwise than the guards call them
                self.assertTrue(INTERFACES[kind].providedBy(made), kind)  # type: ignore[attr-defined]
            self.assertIn("guarded", repr(made))
        self.assertEqual(len(registry.accounts()), 7)


class ContractTests(SynchronousTestCase):
    def test_hooks_are_documented(self) -> None:
        """Every hook has a sentence, a kind, and an interface with words for every method."""
        hooks = {name for name in vars(spec.Hooks) if not name.startswith("_")}
        self.assertEqual(hooks, {f"balancer_{kind}" for kind in spec.KINDS})
        self.assertEqual(set(INTERFACES), set(spec.KINDS))
        for kind in spec.KINDS:
            self.assertTrue(getattr(spec.Hooks, f"balancer_{kind}").__doc__)
            for name, method in INTERFACES[kind].namesAndDescriptions():  # type: ignore[attr-defined]
                self.assertTrue(method.__doc__, f"{kind}.{name}")

    def test_kinds_are_guarded(self) -> None:
        """Every kind has a guard that offers the interface of its kind; only resources need none, and checks have one of another kind."""
        self.assertEqual(set(GUARDS), set(spec.KINDS))
        for kind, guard in GUARDS.items():
            if guard is None:
                self.assertIn(kind, ("resources", "checks"))
            else:
                self.assertTrue(INTERFACES[kind].implementedBy(guard), kind)  # type: ignore[attr-defined]

    def test_builtins_pass(self) -> None:
        """What is built in goes through the same hooks and checks."""
        registry = load(builtins=(("rooms", sys.modules["balancer.filters.builtins"]),))
        self.assertEqual(registry.report()[0]["builtin"], True)
        self.assertEqual(loading.GROUP, "balancer")
