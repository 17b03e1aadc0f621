"""``balancer test``: the routing tests of a configuration, with route coverage."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement

import click
from rich.console import Console
from rich.markup import escape

from balancer.cli.loading import FILE, complaints, offline
from balancer.config.test_files import beside, read_tests
from balancer.errors import BalancerError
from balancer.service.routing_tests import Report, run_tests

__all__ = ["test"]


@click.command()
@click.argument("file", type=FILE)
@click.argument("cases", nargs=-1, type=click.Path(path_type=Path))
@click.option("--fail-under", type=click.FloatRange(0, 100), default=0, help="Least route coverage in percent.")
@click.option("--junit", type=click.Path(path_type=Path), default=None, help="Write a report in JUnit's XML there.")
@click.option("-v", "--verbose", is_flag=True, help="Name every test, not only those that fail.")
def test(file: Path, cases: tuple[Path, ...], fail_under: float, junit: Path | None, verbose: bool) -> None:
    """Run the routing tests under 'tests:', in NAME.tests.yaml beside the file, and in CASES; say which routes they cover.

    Nothing is sent; each request is decided by the same code as live. Exit status 1 if a test fails or the coverage is
    under --fail-under.
    """
    console = Console(highlight=False, soft_wrap=True)
    with complaints():
        snapshot = offline(file)
        found = beside(file)
        files = [*cases] if found is None or found in cases else [found, *cases]
        more = [each for path in files for each in read_tests(path, snapshot.registry)]
        if not snapshot.config.tests and not more:
            raise BalancerError(f"{file} has no routing tests; add some under 'tests:', or in {file.stem}.tests.yaml")
        report = run_tests(snapshot, more)
        if junit is not None:
            _write_junit(junit, file, report)
    for result in report.results:
        if result.differences:
            console.print(f"[red]FAIL[/] {escape(result.name)}")
            for difference in result.differences:
                console.print(f"     {escape(difference)}")
        elif verbose:
            console.print(f"[green]ok[/]   {escape(result.name)}")
    failed = sum(1 for result in report.results if result.differences)
    console.print(f"{len(report.results) - failed} passed, {failed} failed")
    console.print(f"routes covered: {len(report.covered)} of {len(report.routes)} ({report.coverage:.0f} %)")
    for route in report.uncovered:
        console.print(f"  not covered: {escape(route)}")
    if report.coverage < fail_under:
        console.print(f"[red]route coverage is under {fail_under:g} %[/]")
    sys.exit(1 if failed or report.coverage < fail_under else 0)


def _write_junit(path: Path, file: Path, report: Report) -> None:
    """Write ``report`` as JUnit's XML, which CI servers read."""
    failed = sum(1 for result in report.results if result.differences)
    suite = Element("testsuite", name=str(file), tests=str(len(report.results)), failures=str(failed))
    for result in report.results:
        case = SubElement(suite, "testcase", name=_clean(result.name), classname=file.stem)
        if result.differences:
            SubElement(case, "failure", message=_clean(result.differences[0])).text = _clean(
                "\n".join(result.differences)
            )
    SubElement(suite, "system-out").text = f"routes covered: {len(report.covered)} of {len(report.routes)}"
    try:
        ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise BalancerError(f"{path}: {error.strerror or error}") from None


def _clean(text: str) -> str:
    """Return ``text`` without what XML 1.0 cannot hold."""
    return "".join(each if each.isprintable() or each == "\n" else "\N{REPLACEMENT CHARACTER}" for each in text)
