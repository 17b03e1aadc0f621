"""Twisted's endpoint descriptions in ``bind:``, read without opening anything: ``tcp:8080:interface=10.0.0.1``."""

from __future__ import annotations

import re

from twisted.internet.endpoints import serverFromString

__all__ = ["ENDPOINT", "check_endpoint"]

ENDPOINT = re.compile(r"(systemd|tcp|tcp6|haproxy|unix):.*", re.DOTALL)
"""What is read as an endpoint description, not as ``host:port``."""

_EXAMPLES = {
    "tcp": "'tcp:8080' or 'tcp:8080:interface=10.0.0.1'",
    "tcp6": "'tcp6:8080' or 'tcp6:8080:interface=\\:\\:1'",
    "unix": "'unix:/run/app.sock' or 'unix:/run/app.sock:mode=600'",
    "systemd": "'systemd:domain=INET:name=web' or 'systemd:domain=INET:index=0'",
    "haproxy": "'haproxy:tcp:8080'",
}
_PORT = re.compile(r"[0-9]{1,5}")
_SYSTEMD = re.compile(r"systemd:(?:domain=)?(?:INET6?|UNIX)(?::index=[0-9]{1,4}|:[0-9]{1,4}|:name=[^:=]+)")


def check_endpoint(text: str) -> None:
    """Check that ``text``, of the form of :data:`ENDPOINT`, is a description that Twisted can read.

    Whether what it names can be had (a port, a descriptor, a socket passed by systemd) shows when it is opened.

    Raises:
        ValueError: with an example of what was expected.
    """
    kind, _, rest = text.partition(":")
    if text == "unix:":
        raise ValueError(_wrong(kind, text))
    if kind == "haproxy" and ENDPOINT.fullmatch(rest):
        check_endpoint(rest)
    elif kind == "systemd":
        if not _SYSTEMD.fullmatch(text):  # not by Twisted, which looks for the socket
            raise ValueError(_wrong(kind, text))
    else:
        try:
            serverFromString(None, text)
        except (ValueError, TypeError, LookupError, OSError):
            raise ValueError(_wrong(kind, text)) from None
        if kind in ("tcp", "tcp6"):
            given = re.split(r"(?<!\\):", rest)
            port = next((part[5:] for part in given if part.startswith("port=")), given[0])
            if not _PORT.fullmatch(port) or int(port) > 65535:
                raise ValueError(f"expected a port from 0 to 65535, got {port!r}")


def _wrong(kind: str, text: str) -> str:
    return f"expected a Twisted endpoint description such as {_EXAMPLES[kind]}, got {text!r}"
