"""What ``balancer explain`` and ``balancer ctl explain`` have in common: how one asks, and how the answer is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from balancer.cli.explain_session import show_session
from balancer.cli.tables import terminal
from balancer.model.units import counted
from balancer.service.explaining import Explanation, Sample, SampleAnswer
from balancer.service.explaining_sessions import SessionSample, is_session
from balancer.service.questions import question_of

__all__ = ["Asked", "asking", "show"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and how its answer is wanted."""

    sample: Sample | SessionSample
    question: dict[str, Any]
    as_json: bool


_OPTIONS = (
    click.argument("request", nargs=-1, required=True, metavar="[METHOD] URL"),
    click.option("-H", "--header", "headers", multiple=True, metavar="'K: V'", help="A header field; may be repeated."),
    click.option("--client-ip", default="127.0.0.1", show_default=True, help="Where the request comes from."),
    click.option("-d", "--data", default=None, help="The request's body."),
    click.option(
        "--listener", default=None, help="The listener asked; by default the one on the URL's port, or the first."
    ),
    click.option(
        "--sni", default=None, metavar="NAME", help="Server name that a TLS client of tcp://… asks for; '' for none."
    ),
    click.option("--alpn", multiple=True, metavar="PROTOCOL", help="A protocol that it offers; may be repeated."),
    click.option(
        "--client-cert",
        type=click.Path(path_type=Path),
        default=None,
        metavar="FILE",
        help="The certificate (PEM) that the client shows, taken for verified.",
    ),
    click.option("--at", default=None, metavar="TIME", help="When it comes, in ISO 8601; by default now."),
    click.option("--seed", type=int, default=None, help="Makes what chance decides repeatable."),
    click.option(
        "--answer", type=click.IntRange(200, 599), default=None, metavar="STATUS", help="What a server answers, say."
    ),
    click.option(
        "--answer-header", "answer_headers", multiple=True, metavar="'K: V'", help="A field of it; may be repeated."
    ),
    click.option("--answer-data", default="", metavar="TEXT", help="Its body."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
)


def asking(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give ``command`` the arguments of a question; it is called with an :class:`Asked` as ``asked``."""

    def gathered(
        *others: Any,
        request: tuple[str, ...],
        headers: tuple[str, ...],
        client_ip: str,
        data: str | None,
        listener: str | None,
        sni: str | None,
        alpn: tuple[str, ...],
        client_cert: Path | None,
        at: str | None,
        seed: int | None,
        answer: int | None,
        answer_headers: tuple[str, ...],
        answer_data: str,
        as_json: bool,
        **more: Any,
    ) -> Any:
        if len(request) > 2:
            raise click.UsageError("expected [METHOD] URL")
        sample: Sample | SessionSample
        if is_session(request[-1]):
            if len(request) > 1:
                raise click.UsageError("expected no METHOD before the URL of a session")
            sample = SessionSample(request[-1], client_ip, listener, sni, alpn)
        else:
            if sni is not None or alpn:
                raise click.UsageError("--sni and --alpn are for sessions: tcp://HOST:PORT or tls://NAME:PORT")
            method, url = request if len(request) == 2 else ("POST" if data is not None else "GET", request[0])
            fields = [_header(text) for text in headers]
            said = None
            if answer is not None or answer_headers or answer_data:
                said = SampleAnswer(answer or 200, [_header(text) for text in answer_headers], answer_data)
            moment = None if at is None else _moment(at)
            sample = Sample(url, method, fields, client_ip, data, listener, at=moment, answer=said)
        return command(*others, asked=Asked(sample, question_of(sample, client_cert, seed), as_json), **more)

    gathered.__name__, gathered.__doc__ = command.__name__, command.__doc__
    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise click.BadParameter(
            f"expected a time such as 2026-11-27T08:00+01:00, got {text!r}", param_hint="--at"
        ) from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.BadParameter(f"expected 'Name: value', got {text!r}", param_hint="-H")
    return name.strip(), value.strip()


def show(asked: Asked, answer: dict[str, Any]) -> None:
    """Print the ``answer`` of :func:`balancer.service.questions.answer`."""
    if asked.as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    console, found = terminal(), Explanation.of_json(answer)
    if "worker" in answer:
        console.print(f"[dim]as {escape(answer['worker'])} sees it[/]")
    if isinstance(asked.sample, SessionSample):
        show_session(console, asked.sample, found)
    else:
        _show(console, asked.sample, found)


def _said(name: str, value: Any) -> str:
    """Return a term of an exchange as the configuration would have it."""
    if isinstance(value, list):
        return ", ".join(_said(name, each) for each in value)
    if isinstance(value, float):
        return f"{value:.0%}" if name.endswith("budget") else f"{value:g}s"
    return "no limit" if value is None else str(value)


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
    if found.split is not None:
        shares = ", ".join(f"{name} {share:.4g} %" for name, share in found.split["shares"].items())
        note = f"; {found.split['note']}" if found.split["note"] else ""
        console.print(f"split     {escape(found.split['because'])}  ({escape(shares + note)})")
    if found.pool:
        spoken = f"  (speaks {found.protocol})" if found.protocol not in (None, "http1") else ""
        console.print(f"pool      [green]{escape(found.pool)}[/]{spoken}")
        for candidate in found.candidates:
            mark = "[green]→[/]" if candidate["server"] == found.server else " "
            console.print(f"  {mark} {escape(candidate['server'])}  {escape(candidate['because'])}")
        if found.server is None:
            console.print("    [red]no server can take it[/]")
    for name, term in found.terms.items():
        if term["from"] != "default":
            console.print(f"  {escape(name)}: {escape(_said(name, term['value']))}  [dim](of the {term['from']})[/]")
    if found.request:
        console.print("request as it would be sent:")
        console.print(
            f"  {escape(found.request['method'])} {escape(found.request['target'])} HTTP/{found.request['version']}"
        )
        for name, value in found.request["headers"]:
            console.print(f"  {escape(name)}: {escape(value)}")
        if "body" in found.request:
            console.print(f"  {escape(found.request['body'])}")
    for copy in found.copies:
        why = "" if copy["sent"] else f": none, {escape(copy['because'])}"
        console.print(f"copy      to {escape(copy['pool'])}{why}")
    if found.response:
        console.print(f"of the server's answer the client gets [bold]{found.response['status']}[/]:")
        for name, value in found.response["headers"]:
            console.print(f"  {escape(name)}: {escape(value)}")
        if found.response["body"]:
            console.print(f"  {escape(found.response['body'])}")
    if found.rejected:
        table = Table("other routes", "why not", box=None, pad_edge=False, header_style="bold")
        for rejected in found.rejected:
            table.add_row(escape(rejected["route"]), escape(rejected["because"]))
        console.print(table)
