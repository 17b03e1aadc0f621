"""What is said to an authority to have one certificate issued (RFC 8555). It waits for answers: to be run in a thread.

::

    directory ── account ── order ── authorization ── present the proof ── answer ── (the authority looks) ── finalize ── chain
                                                          └── taken away again, whatever comes

The libraries ``acme`` and ``josepy`` speak; they are imported when they are needed, as not everybody has them.
"""

from __future__ import annotations

import datetime
import importlib.util
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from balancer.acme.faults import ERROR, WHOLE, OrderError, in_our_words, short
from balancer.acme.keys import made_key, pem_of
from balancer.acme.schedule import Term, retry_after
from balancer.acme.storage import Storage
from balancer.acme.wanted import Wanted

if TYPE_CHECKING:
    from balancer.acme.account import Account

__all__ = ["NEEDED", "Present", "missing_libraries", "order", "term_of"]

NEEDED = "the libraries acme and josepy are needed: pip install 'txbalancer[acme]'"

_REPLACED = f"{ERROR}alreadyReplaced"

_BETWEEN = 1.0
"""Seconds between two questions whether it has seen it, where it does not say how many."""
_LONGEST = 20.0

Present = Callable[[str, str, bool], None]
"""Called with what the authority will ask for, what it is to find there, and whether it is to be there, or no more.

http-01: the token and its key authorization; tls-alpn-01: the name and the key authorization; dns-01: the name of a TXT record and its
value. Returns when it is so everywhere, and raises :class:`~balancer.acme.faults.OrderError` if it cannot be.
"""


def missing_libraries() -> bool:
    """Whether what speaks to authorities is not installed."""
    return any(importlib.util.find_spec(name) is None for name in ("acme", "josepy"))


def term_of(pem: bytes) -> Term:
    """Return for how long the first certificate in ``pem`` is good; raises ValueError if there is none."""
    certificate = x509.load_pem_x509_certificate(pem)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return Term(begins.timestamp(), ends.timestamp(), certificate.fingerprint(hashes.SHA256()).hex())


def order(wanted: Wanted, storage: Storage, present: Present, replaces: str = "") -> bytes:
    """Have one certificate issued, and return it: the key, then the certificate, then its chain, PEM.

    ``replaces`` is the identifier of the certificate whose place it takes (RFC 9773 section 4.1), if there is one.

    Raises:
        OrderError: saying why there is none.
        StorageError: if the account cannot be kept.
    """
    from balancer.acme.account import Account
    from balancer.acme.challenges import teach_tls_alpn

    teach_tls_alpn()
    account = Account(wanted, storage)
    with in_our_words(account.asked_to_wait):
        account.open()
        key = pem_of(made_key(wanted.acme.key_type))
        try:
            opened = _opened(account, wanted, key, replaces)
        except Exception as error:
            if not account.is_unknown(error):
                raise
            account.forget()
            opened = _opened(account, wanted, key, replaces)
        return key + _issued(account, wanted, opened, present)


def _opened(account: Account, wanted: Wanted, key: bytes, replaces: str) -> Any:
    """Return an order that the authority has taken."""
    from acme import crypto_util, errors, messages

    csr = crypto_util.make_csr(key, list(wanted.names))
    identifiers = [messages.Identifier(typ=messages.IDENTIFIER_FQDN, value=name) for name in wanted.names]
    speaks = account.client
    known = _profiles(speaks.directory)
    if wanted.acme.profile and wanted.acme.profile not in known:
        offered = ", ".join(sorted(known)) or "none"
        raise OrderError(f"the authority has no profile {wanted.acme.profile!r}; it has: {offered}")
    wish: Any = messages.NewOrder(identifiers=identifiers, profile=wanted.acme.profile)
    if replaces and "renewalInfo" in speaks.directory.to_partial_json():
        wish = _replacing(wish, replaces)
    with account.answered_for():
        try:
            response = speaks._post(speaks.directory["newOrder"], wish)
        except (messages.Error, errors.ConflictError) as error:
            kind = getattr(error, "typ", _REPLACED)  # what is a conflict here can be nothing else
            if not replaces or kind not in (_REPLACED, f"{ERROR}malformed"):
                raise
            return _opened(account, wanted, key, "")  # it has been replaced already, or is none of this authority's
    body = messages.Order.from_json(response.json())
    authorizations = [speaks._authzr_from_response(speaks._post_as_get(url), uri=url) for url in body.authorizations]
    return messages.OrderResource(
        body=body, uri=response.headers.get("Location"), authorizations=authorizations, csr_pem=csr
    )


def _profiles(directory: Any) -> dict[str, str]:
    meta = directory.to_partial_json().get("meta")
    return getattr(meta, "profiles", None) or {}


def _replacing(wish: Any, replaces: str) -> Any:
    """Return the order ``wish`` with what it replaces, of which the library knows nothing."""
    from josepy import json_util

    class Replacing(type(wish)):  # type: ignore[misc]  # a class at run time
        replaces: str = json_util.field("replaces", omitempty=True)

    return Replacing(identifiers=wish.identifiers, profile=wish.profile, replaces=replaces)


def _issued(account: Account, wanted: Wanted, opened: Any, present: Present) -> bytes:
    """Prove what has to be proved; return the certificate and its chain."""
    speaks, account_key = account.client, account.key
    deadline = datetime.datetime.now() + datetime.timedelta(seconds=WHOLE)
    presented: list[tuple[str, str]] = []
    try:
        for authorization in opened.authorizations:
            if authorization.body.status.name == "valid":  # seen not long ago
                continue
            name = authorization.body.identifier.value
            challenge = _challenge(authorization, wanted, name)
            proof = challenge.chall.validation(account_key)
            if wanted.acme.challenge == "dns-01":
                place = challenge.chall.validation_domain_name(name)
            elif wanted.acme.challenge == "tls-alpn-01":
                place = name
            else:
                place = challenge.chall.encode("token")
            presented.append((place, proof))
            present(place, proof, True)
            speaks.answer_challenge(challenge, challenge.chall.response(account_key))
            _await_seen(speaks, authorization, deadline)
        preferred = wanted.acme.preferred_chain
        done = speaks.finalize_order(opened, deadline, fetch_alternative_chains=bool(preferred))
    finally:
        for place, proof in presented:
            present(place, proof, False)
    chains = [str(done.fullchain_pem), *map(str, done.alternative_fullchains_pem or ())]
    return preferred_of(chains, preferred).encode("ascii")


def preferred_of(chains: Sequence[str], root: str) -> str:
    """Return the first of ``chains`` (PEM) whose last certificate was issued by one that is called ``root``; else the first."""
    for chain in chains if root else ():
        last = x509.load_pem_x509_certificates(chain.encode("ascii"))[-1]
        if any(str(each.value) == root for each in last.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)):
            return chain
    return chains[0]


def _await_seen(client: Any, authorization: Any, deadline: datetime.datetime) -> None:
    """Return when the authority has seen the proof."""
    while True:
        authorization, answer = client.poll(authorization)
        errors = _of_challenges(authorization)
        # Pending with an error: some look no more until they are asked to (RFC 8555 section 8.2), and so do we, later.
        waits = [each.status.name for each in authorization.body.challenges if each.error is not None]
        status = authorization.body.status.name
        if status == "valid":
            return
        if status != "pending" or "pending" in waits or "invalid" in waits:
            raise OrderError(f"the authority did not find the proof: {errors or status}", alone=True)
        if datetime.datetime.now() > deadline:
            raise OrderError(f"the authority did not look for the proof within {WHOLE:g} s", alone=True)
        time.sleep(min(max(_BETWEEN, retry_after(answer.headers.get("Retry-After", ""), _BETWEEN)), _LONGEST))


def _challenge(authorization: Any, wanted: Wanted, name: str) -> Any:
    """Return the challenge of the kind that is wanted."""
    offered = [each.chall.typ for each in authorization.body.challenges if hasattr(each.chall, "typ")]
    for each in authorization.body.challenges:
        if getattr(each.chall, "typ", "") == wanted.acme.challenge:
            return each
    kinds = ", ".join(offered) or "nothing that we know"
    raise OrderError(f"the authority offers {kinds} for {name}, and no {wanted.acme.challenge}", alone=True)


def _of_challenges(authorization: Any) -> str:
    errors = [challenge.error for challenge in authorization.body.challenges if challenge.error is not None]
    return short("; ".join(str(error.detail or error.typ) for error in errors))
