"""What more than one command prints with: the console, and tables in which nothing is cut off.

On a narrow terminal the last column folds; names and addresses stay whole. Where the output is no terminal, a line is
as long as it must be, for ``grep`` and for logs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from balancer.model.units import counted, format_duration

__all__ = [
    "accounts_table",
    "certificates_table",
    "findings_table",
    "orders_table",
    "packages_table",
    "servers_table",
    "split_in_words",
    "spoken",
    "state_in_words",
    "terminal",
]

_ENDLESS = 100_000
_COLUMNS = {"h2_connections": "h2"}
_COLOURS = {"up": "green", "down": "red", "closed": "green", "in use": "green", "open": "red", "ejected": "red"}


def terminal(*, stderr: bool = False) -> Console:
    """Return the console that commands print to."""
    found = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not found.is_terminal and "COLUMNS" not in os.environ:
        found.width = _ENDLESS
    return found


def packages_table(packages: Iterable[dict[str, Any]]) -> Table:
    """Return a table of plug-in packages, as :meth:`~balancer.hooks.registry.Registry.report` has them."""
    table = _table(["package", "version"], "offers", header_style="dim")
    for package in packages:
        offers = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in package["offers"].items())
        error = package["error"]
        state = f"[red]not loaded: {escape(error)}[/]" if error else escape(offers)
        table.add_row(escape(package["name"]), escape(package["version"]), state)
    return table


def servers_table(servers: Iterable[Mapping[str, Any]]) -> Table:
    """Return a table of a pool's servers, as the admin API has them; where HTTP/2 is spoken, with connections and streams."""
    servers = list(servers)
    shared = ["h2_connections", "streams"] if any(server.get("h2_connections") for server in servers) else []
    numbers = ["weight", "active", *shared, "requests", "failures"]
    names = [_COLUMNS.get(number, number) for number in numbers]
    table = _table(["server", "state", *names], "why", indent=2)
    for server in servers:
        table.add_row(
            escape(server["name"]),
            f"[{_COLOURS.get(server['state'], 'yellow')}]{state_in_words(server)}[/]",
            *(str(server[key]) for key in numbers),
            escape(server["reason"]),
        )
    return table


def state_in_words(server: Mapping[str, Any]) -> str:
    """Return the state of a server; one that is down or ejected may be drained besides."""
    state = str(server["state"])
    return f"{state}, draining" if server.get("draining") and state != "draining" else state


def findings_table(findings: Iterable[Mapping[str, Any]]) -> Table:
    """Return a table of what a pool's traffic has told of its servers, as the admin API has it; of several workers, by whom."""
    findings = list(findings)
    workers = ["found by"] if any(each["worker"] for each in findings) else []
    table = _table(["server", *workers, "what", "state", "since", "for another", "counts"], "why", indent=2)
    for each in findings:
        left = "" if each["left"] is None else f"{each['left']:.1f} s"
        table.add_row(
            escape(each["server"]) or "(all)",
            *([each["worker"]] if workers else []),
            each["what"],
            f"[{_COLOURS.get(each['state'], 'yellow')}]{each['state']}[/]",
            "" if each["since"] is None else f"{each['since']:.1f} s",
            left,
            _counts(each),
            escape(": ".join(filter(None, [each.get("kind"), each["reason"]]))),
        )
    return table


def _counts(found: Mapping[str, Any]) -> str:
    """Return ``4 of 10 failed, 2 slow, opened once``, or ``3 failures in a row, ejected twice``."""
    if found["what"] == "breaker":
        words = [f"{found['failed']} of {found['ended']} failed"] * bool(found["ended"])
        words += [f"{found['slow']} slow"] * bool(found["slow"])
        words += [f"{counted(found['trials'], 'trial')} left"] * (found["state"] == "half-open")
        return ", ".join([*words, f"opened {_times(found['trips'])}"])
    words = [f"{counted(found['failures'], 'failure')} in a row"] * bool(found["failures"])
    words += [f"{found['answered_5xx']} answers of 5xx in a row"] * bool(found["answered_5xx"])
    return ", ".join([*words, f"ejected {_times(found['ejections'])}"])


def _times(count: int) -> str:
    return "never" if not count else "once" if count == 1 else f"{count} times"


def split_in_words(split: Mapping[str, Any]) -> str:
    """Return ``split web/shop: blue 0 %, green 100 % (set by an operator; in the file: blue 100, green 0)``."""
    shares = ", ".join(f"{pool} {share:.4g} %" for pool, share in split["shares"].items())
    there = ", ".join(f"{pool} {weight:g}" for pool, weight in split["configured"].items())
    note = f" ({split['note']}; in the file: {there})" if split["note"] else ""
    return f"split {split['listener']}/{split['route']}: {shares}{note}{_canary(split.get('canary'))}"


def _canary(canary: Mapping[str, Any] | None) -> str:
    if canary is None:
        return ""
    if canary["state"] == "aborted":
        return f"\n  canary {canary['pool']} was rolled back: {canary['reason']}"
    text = f"\n  canary {canary['pool']} {canary['state']}, step {canary['step']} of {len(canary['steps'])}"
    if canary["state"] == "done":
        return text
    return (
        f"{text}, for {format_duration(int(canary['since']))} of {format_duration(canary['interval'])}:"
        f" {canary['requests']} of at least {counted(canary['minimum'], 'request')}, {canary['error_ratio']:.2%} errors"
    )


def accounts_table(accounts: Iterable[Mapping[str, Any]]) -> Table:
    """Return a table of how the calls into plug-ins' objects went, as the admin API has it."""
    table = _table(["package", "kind", "name", "calls", "errors", "overruns", "skipped"], "state")
    for account in accounts:
        state = "[red]switched off[/]" if account["tripped"] else "[green]on[/]"
        cells = (str(account[key]) for key in ("package", "kind", "name", "calls", "errors", "overruns", "skipped"))
        table.add_row(*map(escape, cells), state)
    return table


def certificates_table(certificates: Iterable[Mapping[str, Any]]) -> Table:
    """Return a table of a listener's certificates, as the admin API has them."""
    table = _table(["certificate", "key", "days left", "expires", "OCSP"], "for", indent=2)
    for each in certificates:
        days = each["days"]
        colour = "red" if each["wrong"] or days < 7 else "yellow" if days < 30 else "green"
        table.add_row(
            escape(each["name"]),
            each["kind"],
            f"[{colour}]{days}[/]",
            escape(each["wrong"] or each["expires"]),
            "stapled" if each["stapled"] else "",
            escape(", ".join(each["names"])),
        )
    return table


def orders_table(orders: Iterable[Mapping[str, Any]]) -> Table:
    """Return a table of the certificates that authorities issue, as the admin API has them."""
    table = _table(["name", "state", "issued", "renewal", "next attempt"], "why not", indent=2)
    for each in orders:
        colour = "green" if each["state"] == "good" else "red" if each["failures"] else "yellow"
        renewal = f"{each['renewal']} (suggested)" if each["suggested"] else each["renewal"]
        words = (each["issued"], renewal, each["next"], each["error"] if each["state"] != "good" else "")
        table.add_row(escape(each["name"]), f"[{colour}]{each['state']}[/]", *map(escape, words))
    return table


def _table(whole: Iterable[str], last: str, *, indent: int = 0, header_style: str | None = None) -> Table:
    """Return an empty table whose columns ``whole`` keep their width, and whose ``last`` folds."""
    table = Table(box=None, padding=(0, 2, 0, indent), header_style=header_style)
    for name in whole:
        table.add_column(name, no_wrap=True, overflow="fold")
    table.add_column(last, overflow="fold")
    return table


def spoken(listener: Mapping[str, Any]) -> str:
    """Return what a listener speaks, with the libraries that do the framing of HTTP/2, and TLS."""
    words = str(listener["protocol"])
    if listener["http2"]:
        words += f", HTTP/2 ({listener['http2']})"
    if listener.get("tls"):
        words += f", TLS ({' '.join(listener['tls'].split()[:2])})"
    return words
