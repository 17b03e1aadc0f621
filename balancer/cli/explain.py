"""``balancer explain``: where would this request, or session, go, and why?"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from balancer.cli.explain_session import show_session
from balancer.cli.loading import FILE, complaints, offline
from balancer.cli.tables import terminal
from balancer.errors import BalancerError
from balancer.model.units import counted
from balancer.service.explaining import Explanation, Sample
from balancer.service.explaining import explain as explained
from balancer.service.explaining_sessions import SessionSample, explain_session, is_session
from balancer.tls.clients import read_client_certificate

__all__ = ["explain"]


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.BadParameter(f"expected 'Name: value', got {text!r}", param_hint="-H")
    return name.strip(), value.strip()


@click.command()
@click.argument("file", type=FILE)
@click.argument("request", nargs=-1, required=True, metavar="[METHOD] URL")
@click.option("-H", "--header", "headers", multiple=True, metavar="'K: V'", help="A header field; may be repeated.")
@click.option("--client-ip", default="127.0.0.1", show_default=True, help="Where the request comes from.")
@click.option("-d", "--data", default=None, help="The request's body.")
@click.option(
    "--listener", default=None, help="The listener asked; by default the one on the URL's port, or the first."
)
@click.option(
    "--sni", default=None, metavar="NAME", help="Server name that a TLS client of tcp://… asks for; '' for none."
)
@click.option("--alpn", multiple=True, metavar="PROTOCOL", help="A protocol that it offers; may be repeated.")
@click.option(
    "--client-cert",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="The certificate (PEM) that the client shows, taken for verified.",
)
@click.option("--seed", type=int, default=None, help="Makes what chance decides repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(
    file: Path,
    request: tuple[str, ...],
    headers: tuple[str, ...],
    client_ip: str,
    data: str | None,
    listener: str | None,
    sni: str | None,
    alpn: tuple[str, ...],
    client_cert: Path | None,
    seed: int | None,
    as_json: bool,
) -> None:
    """Say where a request would go: the route that wins and why the others do not, what filters do, which server.

    With tcp://HOST:PORT or udp://HOST:PORT, where a session of such a listener would; tls://NAME:PORT is one of a TLS client that asks for
    NAME.

    Nothing is sent. The same code decides live, so the answer is the one the service would give (but for what only the
    running service knows: which servers are healthy).
    """
    if len(request) > 2:
        raise click.UsageError("expected [METHOD] URL")
    if is_session(request[-1]):
        _explain_session(file, request, SessionSample(request[-1], client_ip, listener, sni, alpn), seed, as_json)
        return
    if sni is not None or alpn:
        raise click.UsageError("--sni and --alpn are for sessions: tcp://HOST:PORT or tls://NAME:PORT")
    method, url = request if len(request) == 2 else ("POST" if data is not None else "GET", request[0])
    draw = random.Random(seed).random if seed is not None else random.random
    with complaints():
        try:
            shown = read_client_certificate(client_cert) if client_cert is not None else None
            sample = Sample(url, method, [_header(text) for text in headers], client_ip, data, listener, shown)
            found = explained(offline(file), sample, draw)
        except (UnicodeError, ValueError) as error:
            raise BalancerError(f"the request cannot be read: {error}") from None
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
    else:
        _show(terminal(), sample, found)
    sys.exit(0)


def _explain_session(
    file: Path, request: tuple[str, ...], sample: SessionSample, seed: int | None, as_json: bool
) -> None:
    if len(request) > 1:
        raise click.UsageError("expected no METHOD before the URL of a session")
    with complaints():
        try:
            found = explain_session(offline(file), sample, random.Random(seed).random)
        except (UnicodeError, ValueError) as error:
            raise BalancerError(f"the session cannot be explained: {error}") from None
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
    else:
        show_session(terminal(), sample, found)


def _show(console: Console, sample: Sample, found: Explanation) -> None:
    console.print(f"[bold]{escape(sample.method)} {escape(sample.url)}[/] from {escape(sample.client_ip)}")
    console.print(f"listener  {escape(found.listener)}")
    for each in found.certificates:
        until = each["wrong"] or f"until {each['expires']}, {counted(each['days'], 'day')} left"
        console.print(
            f"shown     [{'red' if each['wrong'] else 'green'}]{escape(each['name'])}[/] ({each['kind']}"
            f" for {escape(', '.join(each['names']) or 'nobody')}; {escape(until)})"
        )
    if found.reason and not found.status:
        console.print(f"[red]{escape(found.reason)}[/]")
        return
    if found.hsts:
        console.print(f"hsts      {escape(found.hsts)}")
    if found.route:
        captures = ", ".join(f"{name}={value}" for name, value in found.captures.items())
        console.print(f"route     [green]{escape(found.route)}[/]{f'  ({escape(captures)})' if captures else ''}")
    elif found.action == "none" and found.status == 404:
        console.print("route     [red]none matches[/]")
    for each in found.filters:
        console.print(f"filter    {escape(each['filter'])} ({each['at']}): {escape(each['does'])}")
    if found.status:
        console.print(
            f"answer    [bold]{found.status}[/] by the balancer itself{f': {escape(found.reason)}' if found.reason else ''}"
        )
        if found.location:
            console.print(f"location  {escape(found.location)}")
    if found.upgrade is not None:
        console.print(f"upgrade   to {escape(found.upgrade)}, if the server agrees")
    if found.pool:
        spoken = f"  (speaks {found.protocol})" if found.protocol not in (None, "http1") else ""
        console.print(f"pool      [green]{escape(found.pool)}[/]{spoken}")
        for candidate in found.candidates:
            mark = "[green]→[/]" if candidate["server"] == found.server else " "
            console.print(f"  {mark} {escape(candidate['server'])}  {escape(candidate['because'])}")
        if found.server is None:
            console.print("    [red]no server can take it[/]")
    if found.request:
        console.print("request as it would be sent:")
        console.print(
            f"  {escape(found.request['method'])} {escape(found.request['target'])} HTTP/{found.request['version']}"
        )
        for name, value in found.request["headers"]:
            console.print(f"  {escape(name)}: {escape(value)}")
    if found.rejected:
        table = Table("other routes", "why not", box=None, pad_edge=False, header_style="bold")
        for rejected in found.rejected:
            table.add_row(escape(rejected["route"]), escape(rejected["because"]))
        console.print(table)
