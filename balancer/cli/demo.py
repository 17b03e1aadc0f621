"""``balancer demo``: sample servers and a balancer in front of them, in one process, with what to try."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from balancer.cli.free_ports import claim_port
from balancer.cli.tables import terminal

__all__ = ["configuration", "demo"]

_FILE = Path(__file__).with_name("demo.yaml")
_PREFERRED = {"http": 8080, "tcp": 8081, "udp": 8082, "metrics": 9090}
_SERVERS = ("one", "two", "three", "tcp_echo", "udp_echo")


@click.command()
@click.option("--show-config", is_flag=True, help="Print the configuration that the demo runs, and end.")
def demo(show_config: bool) -> None:
    """Run a balancer with sample servers behind it, all in this process, until Ctrl-C.

    Three HTTP servers that say who they are and what they were sent, a TCP echo and a UDP echo stand behind listeners
    for HTTP, TCP and UDP. Free ports are found; the commands to try are printed.
    """
    from balancer.cli.run import serve

    try:
        ports = _ports()
    except OSError as error:
        click.echo(f"balancer: no ports can be had: {error}", err=True)
        sys.exit(1)
    with tempfile.TemporaryDirectory(prefix="balancer-demo-") as folder:
        text = configuration(ports, Path(folder))
        if show_config:
            click.echo(text)
            return
        file = Path(folder, "demo.yaml")
        file.write_text(text)

        from balancer.net.choosing import install

        install()

        from twisted.internet import reactor

        from balancer.cli.demo_servers import open_servers

        try:
            open_servers(reactor, {name: ports[name] for name in _SERVERS})
        except OSError as error:
            click.echo(f"balancer: the sample servers cannot start: {error}", err=True)
            sys.exit(1)
        _say_what_to_try(terminal(), ports, file)
        sys.exit(serve(file, None, leaving=lambda: shutil.rmtree(folder, ignore_errors=True)))


def configuration(ports: dict[str, int], folder: Path) -> str:
    """Return the demo's configuration with ``ports`` filled in; its files lie in ``folder``."""
    folder.joinpath("files").mkdir(exist_ok=True)
    folder.joinpath("files", "hello.txt").write_text("hello from a Twisted resource, static.File\n")
    text = _FILE.read_text()
    for name, port in ports.items():
        text = text.replace(f"@{name}@", str(port))
    return text.replace("@folder@", str(folder))


def _ports() -> dict[str, int]:
    """Return ports, ours until we end: the usual ones if they are free, any others if not.

    Raises:
        OSError: none can be had.
    """
    found = {name: claim_port(port) for name, port in _PREFERRED.items()}
    return found | {name: claim_port() for name in _SERVERS}


def _ourselves() -> str:
    """Return what runs this very program from any folder: its name if that is on the PATH, else where it is."""
    script = Path(sys.argv[0]).absolute()
    found = shutil.which("balancer")
    return "balancer" if found and Path(found).absolute() == script else shlex.quote(str(script))


def _say_what_to_try(console: Console, ports: dict[str, int], file: Path) -> None:
    web = f"http://127.0.0.1:{ports['http']}"
    rows = [
        ("layer 7, three servers in turn", f"curl {web}/"),
        ("a header decides (mobile pool)", f"curl -A iPhone {web}/"),
        ("a cookie decides (test group)", f"curl -b user_segment=test_group {web}/checkout/"),
        ("90 % and 10 % (split)", f"curl {web}/checkout/"),
        ("a path decides, headers are set", f"curl {web}/api/v1/users/42"),
        ("a redirect", f"curl -i {web}/old/page"),
        ("a fixed response", f"curl -i {web}/teapot"),
        ("a Twisted resource", f"curl {web}/files/hello.txt"),
        ("layer 4, TCP echo", f"nc 127.0.0.1 {ports['tcp']}"),
        ("layer 4, UDP echo", f"nc -u 127.0.0.1 {ports['udp']}"),
        ("metrics", f"curl http://127.0.0.1:{ports['metrics']}/metrics"),
        ("ask where a request goes", f"{_ourselves()} explain {file} -H 'User-Agent: iPhone' {web}/"),
        ("run its routing tests", f"{_ourselves()} test {file}"),
    ]
    width = max(len(what) for what, _ in rows)
    console.print(f"[bold]balancer demo[/]  {web}/   (Ctrl-C ends it)\n")
    for what, command in rows:
        console.print(f"  {escape(what):{width}}  [green]{escape(command)}[/]")
    console.print("\nThe access log follows.\n")
    sys.stdout.flush()
