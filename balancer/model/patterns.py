"""Patterns over hosts and paths as values: read once from the configuration, compiled by routing into its index.

Paths match segment by segment on the normalised, decoded path (:func:`~.target.normalised_path`):

======================  ========  =======================================================================
written                 kind      matches
======================  ========  =======================================================================
``/a``                  exact     ``/a`` only
``/a/**``               prefix    ``/a``, ``/a/`` and everything below, never ``/ab``; ``/**`` is every path
``/users/{id}``         template  one non-empty segment as ``id``
``/users/{id}/**``      template  the same and everything below (``open_ended``)
``{regex: …}``          regex     where the RE2 expression is found anywhere in the path; anchor with ^ and $
======================  ========  =======================================================================

Hosts are exact or ``*.example.org``: any name below ``example.org``, at any depth, but not ``example.org`` itself.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

import idna

from balancer.model.target import BadTargetError, normalised_path

__all__ = ["HostPattern", "Network", "PathPattern", "parse_network"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")


@dataclass(frozen=True, slots=True)
class PathPattern:
    """One path pattern.

    ``text`` is the pattern as written (the expression itself for a regex). ``segments`` are the parts between slashes
    (``/a/b`` is ``("a", "b")``, ``/a/`` is ``("a", "")``, ``/`` is ``("",)``); for kind ``prefix`` those before ``/**``
    (``()`` for ``/**``). In a template a variable's segment is its name in braces, as written (``"{id}"``);
    ``names`` lists the variables in order. ``open_ended`` is True where the pattern ends in ``/**``.
    """

    kind: Literal["exact", "prefix", "template", "regex"]
    text: str
    segments: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    open_ended: bool = False

    @classmethod
    def parse(cls, text: str) -> PathPattern:
        """Read ``/a``, ``/a/**``, ``/users/{id}`` or ``/users/{id}/**``.

        Raises:
            ValueError: saying what was expected instead.
        """
        if not text.startswith("/"):
            raise ValueError(f"expected a path that begins with '/', got {text!r}")
        if "?" in text or "#" in text:
            raise ValueError(f"expected a path without query or fragment, got {text!r} (match the query with 'query:')")
        open_ended = text.endswith("/**")
        path = text[:-3] if open_ended else text
        segments = tuple(path.split("/")[1:])
        names = []
        for segment in segments:
            variable = _VARIABLE.fullmatch(segment)
            if variable:
                names.append(variable[1])
            elif "{" in segment or "}" in segment:
                raise ValueError(f"expected a variable to be a whole segment, such as '/{{name}}/', got {segment!r}")
            elif "*" in segment:
                raise ValueError(f"expected '**' only as the last segment, and {{name}} for one segment, got {text!r}")
        if len(set(names)) != len(names):
            raise ValueError(f"expected each variable once, got {text!r}")
        cls._check_normal(path, text)
        kind: Literal["exact", "prefix", "template"] = "template" if names else "prefix" if open_ended else "exact"
        return cls(kind, text, segments, tuple(names), open_ended)

    @classmethod
    def regex(cls, expression: str) -> PathPattern:
        """Return the pattern for an RE2 ``expression``, which the caller has checked."""
        return cls("regex", expression)

    @staticmethod
    def _check_normal(path: str, text: str) -> None:
        """Refuse a pattern that no normalised path can ever equal."""
        try:
            normal = normalised_path(path) if path else path
            if path.endswith("/") and path != text:
                normal = path.rstrip("/")
        except BadTargetError as error:
            raise ValueError(f"expected a path that a request can have, got {text!r}: {error}") from None
        if normal != path:
            raise ValueError(f"expected a decoded, normalised path: did you mean {normal + text[len(path) :]!r}?")

    def __str__(self) -> str:
        return f"~{self.text}" if self.kind == "regex" else self.text


@dataclass(frozen=True, slots=True)
class HostPattern:
    """One host pattern: ``name`` in lower case ASCII (IDNA), without brackets, port or trailing dot.

    For a wildcard ``name`` is what follows ``*.``.
    """

    name: str
    wildcard: bool = False

    @classmethod
    def parse(cls, text: str) -> HostPattern:
        """Read ``shop.example``, ``*.example.org`` or an IP address.

        Raises:
            ValueError: saying what was expected instead.
        """
        name = text.lower().rstrip(".")
        bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
        if ":" in bare or bare[-1:].isdecimal():
            try:
                return cls(str(ipaddress.ip_address(bare)))
            except ValueError:
                pass
        wildcard = name.startswith("*.")
        name = name[2:] if wildcard else name
        if name in ("", "*"):
            raise ValueError(f"expected a host name, got {text!r} (leave 'host' out to match every host)")
        if "*" in name:
            raise ValueError(f"expected '*' only as the whole first label, such as '*.example.org', got {text!r}")
        if ":" in name:
            raise ValueError(f"expected a host name without a port, got {text!r}")
        if not name.isascii():
            try:
                name = idna.encode(name, uts46=True).decode("ascii")
            except idna.IDNAError as error:
                raise ValueError(f"expected a host name, got {text!r}: {error}") from None
        if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
            raise ValueError(f"expected a host name such as 'shop.example' or '*.example.org', got {text!r}")
        return cls(name, wildcard)

    def __str__(self) -> str:
        return f"*.{self.name}" if self.wildcard else self.name


def parse_network(text: str) -> Network:
    """Read an address or a network in CIDR notation: ``10.0.0.0/8``, ``2001:db8::/32``, ``192.0.2.7``.

    Raises:
        ValueError: saying what was expected instead.
    """
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"expected an address or network such as '10.0.0.0/8', got {text!r}") from None
    raise ValueError(f"expected a network without host bits: did you mean '{meant}'?")
