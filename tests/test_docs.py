"""The documentation is true where a machine can tell."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import click
from twisted.trial.unittest import SynchronousTestCase

from balancer import errors, testing
from balancer.cli.main import main
from balancer.config.schema import Config
from balancer.errors import Reason
from balancer.hooks.spec import KINDS
from balancer.service.build import built, loaded
from balancer.service.routing_tests import run_tests

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = {
    path: path.read_text()
    for path in sorted(DOCS.rglob("*.md"))
    if "generated" not in path.parts and "_build" not in path.parts
}
TEXT = "\n".join(PAGES.values())


class ExampleTests(SynchronousTestCase):
    def test_examples(self) -> None:
        """Every example is a configuration that can be built, its routing tests pass, and a page shows it."""
        examples = sorted((DOCS / "examples").glob("*.yaml"))
        self.assertGreater(len(examples), 3)
        for path in examples:
            report = run_tests(built(loaded(path)))
            self.assertEqual([each for each in report.results if each.differences], [], path)
            self.assertIn(f"examples/{path.name}", TEXT)

    def test_included_files(self) -> None:
        """Files that pages include are there."""
        for page, text in PAGES.items():
            for name in re.findall(r"\{literalinclude\} (\S+)", text):
                self.assertTrue((page.parent / name).resolve().is_file(), (page, name))

    def test_links(self) -> None:
        """Links between pages lead somewhere; so do the README's."""
        for page, text in [*PAGES.items(), (ROOT / "README.md", (ROOT / "README.md").read_text())]:
            for link in re.findall(r"\]\(([^)#:]+)\)", text):
                self.assertTrue((page.parent / link).exists(), (page, link))

    def test_generated_pages(self) -> None:
        """The pages made from the code are those that docs/generate.py makes of it now."""
        spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
        assert spec is not None
        assert spec.loader is not None
        generate = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(generate)
        kept = {path.stem: path.read_text() for path in (DOCS / "reference" / "generated").glob("*.md")}
        made = generate.pages()
        self.assertEqual(sorted(kept), sorted(made))
        stale = [name for name, text in made.items() if kept[name] != text]
        self.assertEqual(stale, [], "run docs/generate.py")


class CheckTests(SynchronousTestCase):
    def test_backups(self) -> None:
        """Who asks for a backup gets 403; others get what they ask for."""
        module = _module(DOCS / "examples/backups.py")
        check = testing.make(module, "checks", "backups")
        verdict = testing.inspect(check, testing.subject("/shop.sql"))
        self.assertEqual([finding.rule for finding in verdict.findings], ["backups"])
        text = "listeners: {web: {bind: 127.0.0.1:80, filters: [{waf: {checks: [backups]}}], routes: [{respond: {}}]}}"
        balancer = testing.Configured(text, module)
        self.assertEqual([balancer.ask(url).status for url in ("/shop.sql", "/shop")], [403, 200])


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class CoverageTests(SynchronousTestCase):
    def test_everything_is_mentioned(self) -> None:
        """Every hook, command, top-level key and dependency has a word somewhere."""
        dependencies = (ROOT / "setup.cfg").read_text().split("install_requires =")[1].split("[options.packages")[0]
        wanted = [
            *(
                f"balancer_{kind}"
                for kind in KINDS
                if f"balancer_{kind}"
                not in (ROOT / "plugins/balancer-example/balancer_example/__init__.py").read_text()
            ),
            *(f"balancer {name}" for name, each in main.commands.items() if isinstance(each, click.Command)),
            *Config.model_fields,
            *re.findall(r"^    ([a-z0-9.-]+)", dependencies, re.MULTILINE),
        ]
        said = (TEXT + (ROOT / "README.md").read_text()).lower()
        self.assertEqual([word for word in wanted if word.lower() not in said], [])

    def test_reasons(self) -> None:
        """Reasons have words for the operator."""
        for reason in vars(errors).values():
            if isinstance(reason, Reason):
                self.assertTrue(reason.text.endswith("."), reason)
