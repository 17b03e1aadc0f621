"""``balancer ctl``: speak to a running balancer through its admin API."""

from __future__ import annotations

import http.client
import json
import socket
import sys
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console
from rich.markup import escape

from balancer.cli.asking import Asked, asking, show
from balancer.cli.tables import (
    accounts_table,
    certificates_table,
    findings_table,
    orders_table,
    packages_table,
    servers_table,
    split_in_words,
    spoken,
    state_in_words,
    terminal,
)
from balancer.model.address import Address
from balancer.model.units import counted, format_duration
from balancer.routing.canary import COMMANDS

__all__ = ["ctl"]

_TIMEOUT = 75.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT)
        self.sock.connect(self._path)


class Admin:
    """The admin API at one address."""

    def __init__(self, address: str, token: str | None) -> None:
        self._address = address
        self._token = token

    def ask(self, method: str, path: str, content: Any = None) -> Any:
        """Return the JSON answer; errors end the command with a message."""
        try:
            target = Address.parse(self._address)
            connection = (
                _UnixConnection(target.path)
                if target.path
                else http.client.HTTPConnection(target.host, target.port, timeout=_TIMEOUT)
            )
            headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
            body = None if content is None else json.dumps(content)
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        except ValueError as error:
            _end(f"{self._address}: {error}")
        except OSError as error:
            _end(f"cannot reach the admin API at {self._address}: {error.strerror or error}")
        if response.status != 200:
            for problem in answer.get("problems", ()):
                click.echo(problem, err=True)
            _end(answer.get("error", f"status {response.status}"))
        return answer


def _end(message: str) -> Any:
    click.echo(f"balancer: {message}", err=True)
    sys.exit(1)


@click.group()
@click.option(
    "--admin",
    "address",
    default="unix:/run/balancer/admin.sock",
    show_default=True,
    envvar="BALANCER_ADMIN",
    help="Where the admin API listens: unix:/path or host:port.",
)
@click.option("--token", envvar="BALANCER_ADMIN_TOKEN", default=None, help="Its bearer token, on TCP.")
@click.pass_context
def ctl(context: click.Context, address: str, token: str | None) -> None:
    """Look at and change a running balancer, through the admin API ('admin:' in its configuration)."""
    context.obj = Admin(address, token)


@ctl.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def status(admin: Admin, as_json: bool) -> None:
    """Show listeners, pools and servers."""
    found = admin.ask("GET", "/status")
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    screen = terminal()
    uptime = format_duration(int(found["uptime"]))
    screen.print(
        f"balancer {found['version']}, up {uptime}, {counted(found['reloads'], 'reload')}, {escape(found['file'])}"
    )
    screen.print(escape(f"TLS by {found['libraries']['tls']}; HTTP/2 by {found['libraries']['http2']}"))
    overload = found["overload"]
    turned_away = sum(overload["turned_away"].values())
    if turned_away or overload["share"]:
        screen.print(
            f"[yellow]overload[/] lag {overload['lag'] * 1000:.0f} ms, {overload['share']:.0%} turned away now,"
            f" {turned_away} since the start"
        )
    for worker in found.get("workers", ()):
        screen.print(
            f"{worker['name']} {worker['state']}, pid {worker['pid']}, up {format_duration(int(worker['uptime']))},"
            f" {'?' if worker['connections'] is None else worker['connections']} connections"
        )
    for listener in found["listeners"]:
        addresses = ", ".join(listener["addresses"])
        screen.print(
            f"listener [bold]{escape(listener['name'])}[/] {spoken(listener)} on {escape(addresses)},"
            f" {counted(listener['connections'], 'flow' if listener['protocol'] == 'udp' else 'connection')}"
        )
        if listener.get("certificates"):
            screen.print(certificates_table(listener["certificates"]))
        for text in listener.get("broken_files", ()):
            screen.print(f"  [red]broken, what was good stays:[/] {escape(text)}")
    if found["acme"]:
        screen.print("certificates from authorities")
        screen.print(orders_table(found["acme"]))
    for split in found["splits"]:
        screen.print(escape(split_in_words(split)))
    for pool in found["pools"]:
        _show_pool(screen, pool)


def _show_pool(screen: Console, pool: dict[str, Any]) -> None:
    speaks = "" if pool["protocol"] == "http1" else f", speaks {pool['protocol']}"
    screen.print(f"pool [bold]{escape(pool['name'])}[/] {escape(pool['algorithm'])}{speaks}")
    for text in pool.get("broken_files", ()):
        screen.print(f"  [red]broken, what was good stays:[/] {escape(text)}")
    screen.print(servers_table(pool["servers"]))


@ctl.command()
@click.argument("pool", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def pools(admin: Admin, pool: str | None, as_json: bool) -> None:
    """Show pools, or one, with what their breakers and outlier detection have found out: since when, for how long, why.

    Servers of which nothing bad is known are not in the second table. Of several workers each finds out by itself.
    """
    found = admin.ask("GET", "/status")["pools"]
    names = [each["name"] for each in found]
    if pool is not None and pool not in names:
        _end(f"there is no pool {pool!r}; pools: {', '.join(names)}")
    wanted = [each for each in found if pool in (None, each["name"])]
    if as_json:
        click.echo(json.dumps(wanted, indent=2))
        return
    screen = terminal()
    for each in wanted:
        _show_pool(screen, each)
        watch = [f"health: {each['health']}"]
        watch += [f"breaker of the pool{': ' + each['barred'] if each['barred'] else ''}"] * (each["breaker"] == "pool")
        watch += ["breaker of each server"] * (each["breaker"] == "server")
        watch += [f"outliers by {', '.join(each['passive'])}"] * bool(each["passive"])
        screen.print(escape(f"  {'; '.join(watch)}"))
        if each["findings"]:
            screen.print(findings_table(each["findings"]))


@ctl.command()
@asking
@click.pass_obj
def explain(admin: Admin, asked: Asked) -> None:
    """Say where a request, or session, would go now, as 'balancer explain' does, by what the running service knows.

    Which servers are up, ejected, draining or full, and who sticks to whom, is that of the moment; of several workers the first one's.
    """
    show(asked, admin.ask("POST", "/explain", asked.question))


@ctl.command()
@click.pass_obj
def reload(admin: Admin) -> None:
    """Read the configuration again and swap it in; if it has errors, the old one stays and they are printed."""
    click.echo(admin.ask("POST", "/reload")["message"])


@ctl.command()
@click.pass_obj
def upgrade(admin: Admin) -> None:
    """Start the balancer anew, with the code and the configuration of now, and let it take over every connection to come.

    The old process finishes what it has and ends. If the new one cannot start, the old one goes on.
    """
    click.echo(admin.ask("POST", "/upgrade")["message"])


@ctl.command()
@click.pass_obj
def reopen(admin: Admin) -> None:
    """Reopen the access log, after it was moved away."""
    click.echo(admin.ask("POST", "/reopen")["message"])


@ctl.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def plugins(admin: Admin, as_json: bool) -> None:
    """Show the plug-in packages that are loaded, and how the calls into what they made went."""
    found = admin.ask("GET", "/plugins")
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    installed = [package for package in found["packages"] if not package["builtin"]]
    if not installed:
        click.echo("no plug-in packages are installed")
        return
    screen = terminal()
    screen.print(packages_table(installed))
    if found["accounts"]:
        screen.print(accounts_table(found["accounts"]))


def _change(admin: Admin, pool: str, server: str, wanted: dict[str, Any]) -> None:
    answer = admin.ask("POST", f"/pools/{quote(pool, safe='')}/servers/{quote(server, safe='')}", wanted)
    workers = answer.get("workers", 1)
    where = f", in {workers} workers" if workers > 1 else ""
    click.echo(f"{pool}: {answer['name']} is {state_in_words(answer)}, weight {answer['weight']}{where}")
    _warn(answer)


def _warn(answer: dict[str, Any]) -> None:
    """Print what is not as it was meant; without an answer from every worker, the command has failed."""
    if "warning" in answer:
        click.echo(f"balancer: warning: {answer['warning']}", err=True)
    if "silent" in answer:
        _end(f"no answer from {', '.join(answer['silent'])}, which may go on as before; try again")


@ctl.command()
@click.argument("pool")
@click.argument("server")
@click.argument("value", type=click.IntRange(0, 65535))
@click.pass_obj
def weight(admin: Admin, pool: str, server: str, value: int) -> None:
    """Change a server's weight, until the next restart or a reload that changes it in the file."""
    _change(admin, pool, server, {"weight": value})


@ctl.command()
@click.argument("pool")
@click.argument("server")
@click.pass_obj
def drain(admin: Admin, pool: str, server: str) -> None:
    """Let a server finish what it has, and send it no new clients; those who stick to it stay."""
    _change(admin, pool, server, {"drain": True})


@ctl.command()
@click.argument("pool")
@click.argument("server")
@click.pass_obj
def undrain(admin: Admin, pool: str, server: str) -> None:
    """Send a drained server traffic again."""
    _change(admin, pool, server, {"drain": False})


@ctl.command()
@click.argument("pool")
@click.argument("server")
@click.option("--force", is_flag=True, help="Also if it is the last server of the pool that can be used.")
@click.pass_obj
def disable(admin: Admin, pool: str, server: str, force: bool) -> None:
    """Send a server nothing new at all: unlike 'drain', those who stick to it go elsewhere too, and no connections are kept.

    What is in flight goes on, and so do probes.
    """
    _change(admin, pool, server, {"disable": True, "force": True} if force else {"disable": True})


@ctl.command()
@click.argument("pool")
@click.argument("server")
@click.pass_obj
def enable(admin: Admin, pool: str, server: str) -> None:
    """Use a disabled server again, if it is well."""
    _change(admin, pool, server, {"disable": False})


@ctl.command()
@click.argument("pool")
@click.argument("server", required=False)
@click.pass_obj
def restore(admin: Admin, pool: str, server: str | None) -> None:
    """End the ejection of a server, or of all of a pool, and close open breakers, in all workers, and forget the failures counted.

    A server that probes find ill stays down.
    """
    where = "" if server is None else f"/servers/{quote(server, safe='')}"
    answer = admin.ask("POST", f"/pools/{quote(pool, safe='')}{where}/restore")
    click.echo(answer["message"])
    for each in answer["restored"]:
        by = f"{each['worker']}: " if each["worker"] else ""
        click.echo(f"  {by}{each['what']} of {each['server'] or 'the pool'}")
    _warn(answer)


def _split(admin: Admin, listener: str, route: str, wanted: dict[str, Any]) -> None:
    click.echo(split_in_words(admin.ask("POST", f"/splits/{quote(listener, safe='')}/{quote(route, safe='')}", wanted)))


def _weights(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for text in values:
        pool, equals, weight = text.rpartition("=")
        try:
            found[pool] = float(weight)
        except ValueError:
            equals = ""
        if not equals or not pool:
            raise click.BadParameter(f"expected POOL=WEIGHT, got {text!r}")
    return found


@ctl.command()
@click.argument("listener")
@click.argument("route")
@click.argument("weights", nargs=-1, callback=_weights, metavar="POOL=WEIGHT...")
@click.option("--reset", is_flag=True, help="Go back to the weights of the file.")
@click.pass_obj
def split(admin: Admin, listener: str, route: str, weights: dict[str, float], reset: bool) -> None:
    """Change the weights by which a route splits, until the next restart or a reload that changes them in the file.

    Pools that are not named keep theirs.
    """
    if reset == bool(weights):
        raise click.UsageError("expected POOL=WEIGHT..., or --reset")
    _split(admin, listener, route, {"reset": True} if reset else {"weights": weights})


@ctl.command()
@click.argument("listener")
@click.argument("route")
@click.argument("pool")
@click.pass_obj
def switch(admin: Admin, listener: str, route: str, pool: str) -> None:
    """Send everything that a route splits to one of its pools: from blue to green, and back."""
    _split(admin, listener, route, {"switch": pool})


@ctl.command()
@click.argument("listener")
@click.argument("route")
@click.argument("command", type=click.Choice(COMMANDS))
@click.pass_obj
def canary(admin: Admin, listener: str, route: str, command: str) -> None:
    """Pause the canary of a route, resume it, promote it to its next step, finish with its last, abort or restart it."""
    place = f"{quote(listener, safe='')}/{quote(route, safe='')}"
    click.echo(split_in_words(admin.ask("POST", f"/canaries/{place}", {"do": command})))
