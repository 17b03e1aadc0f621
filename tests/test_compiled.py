"""Which modules may be compiled, and whether they are."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

from balancer import compiled

ROOT = Path(compiled.__file__).parent.parent


def _source(name: str) -> ast.Module:
    return ast.parse((ROOT / f"{name.replace('.', '/')}.py").read_text())


class ModulesTests(SynchronousTestCase):
    def test_they_are_there(self) -> None:
        """Each is a module of ours, named once, in order."""
        self.assertEqual(list(compiled.MODULES), sorted(set(compiled.MODULES)))
        for name in compiled.MODULES:
            self.assertTrue((ROOT / f"{name.replace('.', '/')}.py").exists(), name)

    def test_this_module_is_read_alone(self) -> None:
        """What builds the package reads the list before anything is installed: it imports nothing but the standard library."""
        tree = _source("balancer.compiled")
        top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in top}
        self.assertLessEqual({str(name).partition(".")[0] for name in names}, {*sys.stdlib_module_names})

    def test_classes_have_no_other_decorators(self) -> None:
        """A decorator that the compiler does not know makes a class slower than it was."""
        found = []
        for name in compiled.MODULES:
            for each in _classes(_source(name)):
                others = {ast.unparse(_called(one)) for one in each.decorator_list} - {"mypyc_attr", "dataclass"}
                if others and f"{name}.{each.name}" not in _AS_THEY_ARE:
                    found.append(f"{name}.{each.name}: {others}")
        self.assertEqual(found, [])

    def test_what_others_inherit_from(self) -> None:
        """A compiled class that one of another module inherits from, which is not compiled, says that this may be."""
        closed = {
            (name, each.name): each
            for name in compiled.MODULES
            for each in _classes(_source(name))
            if not any("allow_interpreted_subclasses=True" in ast.unparse(one) for one in each.decorator_list)
        }
        found = []
        for path in sorted((ROOT / "balancer").rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if module in compiled.MODULES:
                continue
            tree = ast.parse(path.read_text())
            origins = {
                alias.name: node.module
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom)
                for alias in node.names
            }
            for each in _classes(tree):
                bases = {ast.unparse(base) for base in each.bases}
                found += [f"{module}.{each.name}: {base}" for base in bases if (origins.get(base), base) in closed]
        self.assertEqual(found, [])


_AS_THEY_ARE = ("balancer.observe.access_log.AsItIs",)
"""Classes that gain nothing: few records go through them."""


def _classes(tree: ast.Module) -> list[ast.ClassDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def _called(decorator: ast.expr) -> ast.expr:
    return decorator.func if isinstance(decorator, ast.Call) else decorator


class HowItRunsTests(SynchronousTestCase):
    def _loaded(self, *files: str) -> str:
        """Return what is said where modules have been loaded from ``files``."""
        modules = {}
        for name, file in zip(compiled.MODULES, files, strict=False):
            modules[name] = ModuleType(name)
            modules[name].__file__ = file
        return compiled.how_it_runs(modules)

    def test_from_sources(self) -> None:
        """Nothing is compiled, or nothing is loaded."""
        self.assertEqual(self._loaded("a.py", "b.py"), "interpreted")
        self.assertEqual(self._loaded(), "interpreted")

    def test_compiled(self) -> None:
        """All that is loaded is compiled."""
        self.assertEqual(self._loaded("a.cpython-311-x86_64-linux-gnu.so", "b.so"), "compiled")

    def test_in_part(self) -> None:
        """Files of an earlier build are beside sources that are newer."""
        self.assertEqual(self._loaded("a.so", "b.py", "c.py"), "compiled in part (1 of 3 modules)")
