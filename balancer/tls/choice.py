"""Which certificates answer which name: exact, then the wildcard one label above, then the default. Pure.

::

    SNI shop.example.org ──> certificates for shop.example.org ──> for *.example.org ──> default, or nothing (strict)

For one name there may be a certificate of each kind of key (RSA beside ECDSA): all are given, and the handshake shows what the
client can check. Of two of one kind the one that is valid for longer is shown, so that a renewed certificate in the same
directory takes over.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from balancer.tls.identity import Identity
from balancer.tls.names import covers, normal_name, wildcard_of

__all__ = ["Choice", "UnknownDefaultError"]


class UnknownDefaultError(ValueError):
    """No certificate is called, or is for, what the configuration names as the default."""


class Choice:
    """The certificates of one listener by name.

    Args:
        identities: in the order of the configuration.
        default: shown to clients that name none of them, or nothing: the name of a certificate, or a host that one is for; by default
            the first.
        strict: whether such clients are refused instead.

    Raises:
        UnknownDefaultError: if there is no certificate such as ``default`` says.
    """

    def __init__(self, identities: Sequence[Identity], default: str = "", *, strict: bool = False) -> None:
        self.identities = tuple(identities)
        self.strict = strict
        self._by_name: dict[str, tuple[Identity, ...]] = {}
        by_name: dict[str, dict[str, Identity]] = {}
        for identity in identities:
            for name in identity.names:
                kinds = by_name.setdefault(name, {})
                known = kinds.get(identity.kind)
                if known is None or identity.not_after > known.not_after:
                    kinds[identity.kind] = identity
        self._by_name = {name: tuple(kinds.values()) for name, kinds in by_name.items()}
        self.default = self._default(default)

    def _default(self, wanted: str) -> tuple[Identity, ...]:
        if not self.identities:
            return ()
        if not wanted:
            first = self.identities[0]
            same = [each for each in self.identities if set(each.names) == set(first.names)]
            return tuple({each.kind: each for each in sorted(same, key=lambda each: each.not_after)}.values())
        called = tuple(each for each in self.identities if each.name == str(Path(wanted)))
        if called:
            return called[:1]
        found = self._covering(normal_name(wanted))
        if not found:
            known = ", ".join(each.name for each in self.identities[:10])
            raise UnknownDefaultError(
                f"expected a host that one of the certificates is for, or one of {known}; got {wanted!r}"
            )
        return found

    def _covering(self, name: str) -> tuple[Identity, ...]:
        return self._by_name.get(name) or self._by_name.get(wildcard_of(name)) or ()

    def of(self, sni: str) -> tuple[Identity, ...]:
        """Return the certificates, each of another kind, for a client that asks for ``sni`` (``""``: for nothing).

        Empty where the client is to be refused.
        """
        found = self._covering(normal_name(sni)) if sni else ()
        return found or (() if self.strict else self.default)

    def covered(self, host: str) -> bool:
        """Whether a certificate is for ``host``, which may itself be a wildcard."""
        name = normal_name(host)
        return name in self._by_name or any(covers(each.names, name) for each in self.identities)

    def shadowed(self) -> list[tuple[Identity, Identity, str]]:
        """Return each certificate that is never shown for one of its names, the one shown instead, and that name."""
        found = []
        for identity in self.identities:
            for name in identity.names:
                shown = next(each for each in self._by_name[name] if each.kind == identity.kind)
                if shown is not identity:
                    found.append((identity, shown, name))
        return found

    def unused(self) -> list[Identity]:
        """Return the certificates that no client can ever be shown: not by a name of theirs, nor as the default."""
        shown = {id(each) for kinds in self._by_name.values() for each in kinds}
        if not self.strict:
            shown |= {id(each) for each in self.default}
        return [each for each in self.identities if id(each) not in shown]

    def __repr__(self) -> str:
        return f"<Choice of {len(self.identities)} for {len(self._by_name)} names{', strict' if self.strict else ''}>"
