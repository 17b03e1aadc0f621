"""What is said to an authority to have one certificate issued (RFC 8555). It waits for answers: to be run in a thread.

::

    directory ── account ── order ── authorization ── present the proof ── answer ── (the authority looks) ── finalize ── chain
                                                          └── taken away again, whatever comes

The libraries ``acme`` and ``josepy`` speak; they are imported when they are needed, as not everybody has them.
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from balancer import __version__
from balancer.acme.schedule import RATE_LIMITED, Term
from balancer.acme.storage import Storage, StorageError
from balancer.acme.wanted import Wanted

__all__ = ["NEEDED", "OrderError", "Present", "missing_libraries", "order", "term_of"]

NEEDED = "the libraries acme and josepy are needed: pip install 'txbalancer[acme]'"

PATIENCE = 10
"""Seconds for one answer of the authority's."""
WHOLE = 120.0
"""Seconds in which it is to see the proof, and to issue the certificate."""

_BETWEEN = 1.0
"""Seconds between two questions whether it has seen it."""

_ERROR = "urn:ietf:params:acme:error:"
_NO_ACCOUNT = f"{_ERROR}accountDoesNotExist"
_OF_NAME = frozenset(
    f"{_ERROR}{code}"
    for code in ("caa", "connection", "dns", "incorrectResponse", "rejectedIdentifier", "tls", "unauthorized")
)
"""What is wrong with one name, and says nothing of others."""

Present = Callable[[str, str, bool], None]
"""Called with what the authority will ask for, what it is to find there, and whether it is to be there, or no more.

http-01: the token and its key authorization; dns-01: the name of a TXT record and its value. Returns when it is so everywhere,
and raises :class:`OrderError` if it cannot be.
"""


class OrderError(Exception):
    """There is no certificate, and why.

    ``alone``: the reason is the name's own, others may be ordered; ``wait`` is how many seconds to wait at least.
    """

    def __init__(self, text: str, *, alone: bool = False, wait: float = 0.0) -> None:
        super().__init__(text)
        self.alone = alone
        self.wait = wait


def missing_libraries() -> bool:
    """Whether what speaks to authorities is not installed."""
    return any(importlib.util.find_spec(name) is None for name in ("acme", "josepy"))


def term_of(pem: bytes) -> Term:
    """Return for how long the first certificate in ``pem`` is good; raises ValueError if there is none."""
    certificate = x509.load_pem_x509_certificate(pem)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return Term(begins.timestamp(), ends.timestamp(), certificate.fingerprint(hashes.SHA256()).hex())


def order(wanted: Wanted, storage: Storage, present: Present) -> bytes:
    """Have one certificate issued, and return it: the key, then the certificate, then its chain, PEM.

    Raises:
        OrderError: saying why there is none.
        StorageError: if the account cannot be kept.
    """
    with _in_our_words():
        client, key = _client(wanted, storage)
        try:
            return _ordered(client, key, wanted, present)
        except Exception as error:
            if getattr(error, "typ", "") != _NO_ACCOUNT:
                raise
        # The authority has forgotten us, as those for tests do: we introduce ourselves anew, once.
        storage.write_values("account.json", {})
        client, key = _client(wanted, storage)
        return _ordered(client, key, wanted, present)


def _ordered(client: Any, account_key: Any, wanted: Wanted, present: Present) -> bytes:
    from acme import crypto_util

    private = ec.generate_private_key(ec.SECP256R1())
    key = _pem(private)
    deadline = datetime.datetime.now() + datetime.timedelta(seconds=WHOLE)
    opened = client.new_order(crypto_util.make_csr(key, [wanted.name]))
    presented: list[tuple[str, str]] = []
    try:
        for authorization in opened.authorizations:
            if authorization.body.status.name == "valid":  # seen not long ago
                continue
            challenge = _challenge(authorization, wanted)
            answer, proof = challenge.response_and_validation(account_key)
            if wanted.acme.challenge == "dns-01":
                place = challenge.chall.validation_domain_name(authorization.body.identifier.value)
            else:
                place = challenge.chall.encode("token")
            presented.append((place, proof))
            present(place, proof, True)
            client.answer_challenge(challenge, answer)
            _await_seen(client, authorization, deadline)
        done = client.finalize_order(opened, deadline)
    finally:
        for place, proof in presented:
            present(place, proof, False)
    return key + str(done.fullchain_pem).encode("ascii")


def _await_seen(client: Any, authorization: Any, deadline: datetime.datetime) -> None:
    """Return when the authority has seen the proof."""
    while True:
        authorization, _ = client.poll(authorization)
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
        time.sleep(_BETWEEN)


def _challenge(authorization: Any, wanted: Wanted) -> Any:
    """Return the challenge of the kind that is wanted."""
    offered = [each.chall.typ for each in authorization.body.challenges if hasattr(each.chall, "typ")]
    for each in authorization.body.challenges:
        if getattr(each.chall, "typ", "") == wanted.acme.challenge:
            return each
    kinds = ", ".join(offered) or "nothing that we know"
    raise OrderError(f"the authority offers {kinds} for {wanted.name}, and no {wanted.acme.challenge}", alone=True)


# The account.


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _client(wanted: Wanted, storage: Storage) -> tuple[Any, Any]:
    """Return a client that speaks for our account, which is made where there is none, and the account's key."""
    from acme import client, messages
    from josepy import jwa, jwk

    settings = wanted.acme
    key = jwk.JWKEC(key=_account_key(storage))
    net = client.ClientNetwork(key, alg=jwa.ES256, user_agent=f"balancer/{__version__}", timeout=PATIENCE)
    net.verify_ssl = settings.ca or True  # type: ignore[assignment]  # requests takes the path of a file too
    speaks = client.ClientV2(client.ClientV2.get_directory(settings.directory, net), net)
    known = storage.read_values("account.json")
    uri = known.get("uri")
    if not isinstance(uri, str) or not uri:
        wish = messages.NewRegistration.from_data(email=settings.email or None, terms_of_service_agreed=True)
        try:
            uri = str(speaks.new_account(wish).uri)
        except _conflict() as error:  # it knows our key: the file was lost
            uri = str(error.location)
    net.account = messages.RegistrationResource(uri=uri, body=messages.Registration())
    if known.get("email") != settings.email:
        if known:
            contact = (f"mailto:{settings.email}",) if settings.email else ()
            speaks.update_registration(net.account, messages.UpdateRegistration(contact=contact))
        storage.write_values("account.json", {"uri": uri, "email": settings.email, "directory": settings.directory})
    return speaks, key


def _conflict() -> Any:
    from acme import errors

    return errors.ConflictError


def _account_key(storage: Storage) -> ec.EllipticCurvePrivateKey:
    found = storage.read("account.key")
    if found is None:
        key = ec.generate_private_key(ec.SECP256R1())
        storage.write("account.key", _pem(key))
        return key
    try:
        loaded = serialization.load_pem_private_key(found, None)
    except (ValueError, TypeError):
        loaded = None
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise StorageError(
            f"there is no key in {storage.folder / 'account.key'}; without the file a new account is made"
        )
    return loaded


# What went wrong.


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Convert what the libraries raise."""
    import requests
    from acme import errors, messages
    from josepy import errors as jose_errors

    try:
        yield
    except (OrderError, StorageError):
        raise
    except errors.IssuanceError as error:
        raise _refused(error.error) from error
    except messages.Error as error:
        raise _refused(error) from error
    except errors.TimeoutError as error:
        raise OrderError(f"the authority did not come to an end within {WHOLE:g} s", alone=True) from error
    except requests.exceptions.SSLError as error:
        raise OrderError(f"the directory's certificate is not believed: {_innermost(error)}") from error
    except requests.exceptions.Timeout as error:
        raise OrderError(f"the authority did not answer within {PATIENCE} s") from error
    except requests.exceptions.RequestException as error:
        raise OrderError(f"the authority cannot be reached: {_innermost(error)}") from error
    except errors.ClientError as error:
        response = error.args[0] if error.args else None
        status = getattr(response, "status_code", None)
        text = f"the authority answered with status {status}" if status else f"the authority is not understood: {error}"
        raise OrderError(text) from error
    except (errors.Error, jose_errors.Error, json.JSONDecodeError, KeyError, AttributeError, OSError) as error:
        raise OrderError(f"the authority is not understood: {type(error).__name__}: {_short(error)}") from error


def _refused(error: Any) -> OrderError:
    """Return what an authority said, in one line."""
    code = str(error.typ).removeprefix(_ERROR)
    parts = [error, *(error.subproblems or ())]
    text = "; ".join(dict.fromkeys(str(each.detail) for each in parts if each.detail))
    wait = RATE_LIMITED if code == "rateLimited" else 0.0
    return OrderError(f"the authority refused: {code}: {_short(text)}", alone=error.typ in _OF_NAME, wait=wait)


def _of_challenges(authorization: Any) -> str:
    errors = [challenge.error for challenge in authorization.body.challenges if challenge.error is not None]
    return _short("; ".join(str(error.detail or error.typ) for error in errors))


def _innermost(error: BaseException) -> str:
    """Return the words of what a library has wrapped again and again."""
    while True:
        inner = getattr(error, "reason", None) or next(
            (each for each in error.args if isinstance(each, Exception)), None
        )
        if not isinstance(inner, Exception):
            return _short(getattr(error, "strerror", None) or error)
        error = inner


def _short(text: object) -> str:
    words = " ".join(str(text).split())
    return words if len(words) <= 300 else f"{words[:300]}…"
