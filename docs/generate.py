"""Writes the pages that are made from the code: configuration, commands, metrics, reasons, plug-in interfaces.

The pages lie in ``docs/reference/generated`` and are kept with the others, so that ``docs/`` can be read as it is; ``make
docs`` runs this first, and a test says when it was forgotten.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from twisted.internet.task import Clock
from zope.interface.interface import Method

from balancer import errors
from balancer.cli.main import main as cli
from balancer.config.loading import load_text
from balancer.config.reference import reference
from balancer.errors import Reason
from balancer.hooks import interfaces, spec
from balancer.hooks.registry import INTERFACES
from balancer.observe.metrics import Metrics
from balancer.service.build import built, registry_for
from balancer.service.observing import Observing
from balancer.service.ordering import order_metrics
from balancer.service.runtime import Runtime

FOLDER = Path(__file__).parent / "reference" / "generated"


def commands() -> str:
    """Return the commands, as their own help shows them."""
    lines = [
        "# Commands",
        "",
        "The service is `twistd [-n] balancer --config FILE`; everything else is `balancer`.",
        "",
    ]
    for words, command in _commands(cli, ["balancer"]):
        context = click.Context(
            command,
            info_name=" ".join(words),
            terminal_width=100,
            max_content_width=100,
            help_option_names=["-h", "--help"],
        )
        lines += [f"## {' '.join(words)}", "", "```text", command.get_help(context), "```", ""]
    return "\n".join(lines)


def _commands(command: click.Command, words: list[str]) -> Iterator[tuple[list[str], click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        for name, each in sorted(command.commands.items()):
            yield from _commands(each, [*words, name])


def metrics() -> str:
    """Return every metric with its type, labels and meaning."""
    text = "listeners: {a: {bind: '127.0.0.1:1', protocol: http, pool: p}}\npools: {p: {servers: ['127.0.0.1:2']}}"
    snapshot = built(load_text(text, registry_for(installed=False)))
    observing = Observing(Clock())
    runtime = Runtime(Clock())
    observing.metrics.watch(lambda: [*observing.gauges(snapshot, ()), *order_metrics({}), *runtime.told()])  # type: ignore[arg-type]
    lines = ["# Metrics", "", "At `/metrics` of the address in `metrics: {bind: …}`, in Prometheus' text format.", ""]
    lines += ["| name | type | labels | |", "|---|---|---|---|"]
    families: Any = Metrics.collect(observing.metrics)
    for family in families:
        suffix = "_total" if family.type == "counter" else ""
        labels = ", ".join(f"`{name}`" for name in getattr(family, "_labelnames", ()))
        lines.append(f"| `{family.name}{suffix}` | {family.type} | {labels} | {family.documentation} |")
    lines += ["", "Besides these there are `process_*` and `python_gc_*` of the Prometheus client."]
    return "\n".join(lines) + "\n"


def reasons() -> str:
    """Return the table of reasons."""
    lines = ["# Reasons", "", "Why the balancer ended an exchange or session: the same word stands in `Proxy-Status`"]
    lines += ["(RFC 9209), in the access log's `reason`, in `balancer_errors_total` and on the error page.", ""]
    lines += ["| reason | status | whose | another server is tried | |", "|---|---|---|---|---|"]
    found = [each for each in vars(errors).values() if isinstance(each, Reason)]
    for each in sorted(found, key=lambda reason: (reason.code, reason.status)):
        again = "yes" if each.retryable else ""
        lines.append(f"| `{each.code}` | {each.status} | {each.side.value} | {again} | {each.text} |")
    lines += [
        "",
        "TCP sessions also end with `session_idle_timeout`, `client_reset` and `shutdown`; where the hello of TLS clients is looked at, with",
    ]
    lines += [
        "`client_hello_timeout`, `client_hello_malformed`, `client_hello_too_large` and `client_hello_incomplete`."
    ]
    return "\n".join(lines) + "\n"


def hooks() -> str:
    """Return hooks and interfaces, with the words in the code."""
    lines = [
        "# Hooks and interfaces",
        "",
        "A package marks functions with `@hookimpl` from `balancer.hooks`. Each returns",
    ]
    lines += ["factories (`balancer.hooks.interfaces.Factory`); each factory makes objects of one interface.", ""]
    lines += ["## The factory", "", *_interface(interfaces.IFactory)]
    for kind in spec.KINDS:
        hook = f"balancer_{kind}"
        lines += [f"## {hook}", "", _plain(getattr(spec.Hooks, hook)), ""]
        if kind == "resources":
            lines += ["See Twisted's own documentation of `IResource`. `request.site.reactor` is the reactor.", ""]
        else:
            lines += _interface(INTERFACES[kind])
        if kind == "algorithms":
            lines += _interface(interfaces.IObservingAlgorithm)
            lines += [
                "### What an algorithm is given",
                "",
                *_interface(interfaces.IServer),
                _plain(interfaces.Choice),
                "",
            ]
    return "\n".join(lines)


def _interface(interface: Any) -> list[str]:
    lines = [f"**`{interface.getName()}`**: {_plain(interface)}", ""]
    for name, each in sorted(interface.namesAndDescriptions(), key=lambda pair: isinstance(pair[1], Method)):
        signature = each.getSignatureString() if isinstance(each, Method) else ""
        lines += [f"`{name}{signature}`", f": {_plain(each)}", ""]
    return lines


def _plain(documented: Any) -> str:
    """Return a docstring as Markdown."""
    text = inspect.cleandoc(documented.__doc__ or "")
    for role in (":class:", ":mod:", ":data:", ":meth:"):
        text = text.replace(f"{role}`~.interfaces.", "`").replace(f"{role}`~", "`").replace(f"{role}`", "`")
    return " ".join(text.replace("``", "`").split())


def pages() -> dict[str, str]:
    """Return every page by its name."""
    found = {
        "configuration": reference(registry_for(installed=False)),
        "commands": commands(),
        "metrics": metrics(),
        "reasons": reasons(),
        "hooks": hooks(),
    }
    return {name: text.rstrip() + "\n\n<!-- Made by docs/generate.py. -->\n" for name, text in found.items()}


def main() -> None:
    """Write all pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / f"{name}.md").write_text(text)


if __name__ == "__main__":
    main()
