"""The certificates that the examples name, made where a copy of an example looks for them."""

from __future__ import annotations

import shutil
from pathlib import Path

from cryptography import x509

from tests.tls.authority import Authority

__all__ = ["with_certificates"]


def with_certificates(example: Path, directory: Path) -> Path:
    """Return ``example``, or where it names certificates a copy of it in ``directory`` with those beside it."""
    if "certificates/" not in example.read_text():
        return example
    there = directory / "certificates"
    (there / "sites").mkdir(parents=True, exist_ok=True)
    authority, partners = Authority("An authority"), Authority("The authority of partners")
    shop = ("shop.example", "www.shop.example")
    internal = Authority("Internal")
    (there / "internal-ca.pem").write_bytes(internal.issued.cert)
    internal.issue("balancer", client=True).write(there / "balancer.pem", there / "balancer.key")
    authority.issue(*shop).write(there / "shop.pem", there / "shop.key")
    authority.issue(*shop, kind="rsa").write(there / "shop-rsa.pem", there / "shop-rsa.key")
    authority.issue("*.sites.example", number=1).write(there / "sites" / "all.pem")
    authority.issue("mail.sites.example", number=2).write(there / "sites" / "mail.sites.example.pem")
    authority.issue("api.shop.example", number=3).write(there / "api.pem")
    (there / "partners-ca.pem").write_bytes(partners.issued.cert)
    (there / "partners.crl").write_bytes(partners.revoke())
    for name in ("partner", "somebody"):
        uri = x509.UniformResourceIdentifier(f"spiffe://{name}s.example/one")
        issued = partners.issue(subject=f"CN={name}", client=True, extra=(uri,))
        issued.write(there / f"{name}.pem", there / f"{name}.key")
    return Path(shutil.copy(example, directory))
