"""Who we are to an authority: a key and an account, made when there is none, and looked after.

Imported only where the libraries are there, by what is about to speak to an authority.

::

    account.json has the account's URL? ──no──> newAccount, bound to a customer's number where ``eab`` says so
        └── yes: another e-mail address than last time ──> told to the authority

Each ``eab.kid`` has an account of its own: an account cannot be bound a second time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from acme import client, errors, messages
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from josepy import jwa, jwk

from balancer import __version__
from balancer.acme.faults import ERROR, PATIENCE, OrderError, refused
from balancer.acme.keys import made_key, pem_of
from balancer.acme.schedule import retry_after
from balancer.acme.storage import Storage, StorageError
from balancer.acme.wanted import Wanted

__all__ = ["Account"]

_UNAUTHORIZED = f"{ERROR}unauthorized"
_NO_ACCOUNT = f"{ERROR}accountDoesNotExist"


class _Net(client.ClientNetwork):
    """The library's, which forgets what a refusal says of when to come back; ``waits`` is that, in seconds."""

    waits = 0.0

    def _send_request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        response = super()._send_request(method, url, *args, **kwargs)
        self.waits = 0.0 if response.ok else retry_after(response.headers.get("Retry-After", ""), 0.0)
        return response


class Account:
    """Our account with one authority. Everything here waits for answers.

    Args:
        wanted: what is to be ordered.
        storage: where the account is kept.
    """

    def __init__(self, wanted: Wanted, storage: Storage) -> None:
        eab = wanted.acme.eab
        suffix = "" if eab is None else "-" + hashlib.sha256(eab.kid.encode()).hexdigest()[:8]
        self.file = f"account{suffix}.json"
        self._key_file = f"account{suffix}.key"
        self._wanted = wanted
        self._storage = storage
        self.key = jwk.JWKEC(key=self._read_key())
        net = _Net(self.key, alg=jwa.ES256, user_agent=f"balancer/{__version__}", timeout=PATIENCE)
        net.verify_ssl = wanted.acme.ca or True  # type: ignore[assignment]  # requests takes the path of a file too
        self._net = net
        self.client: Any = None

    def asked_to_wait(self) -> float:
        """Return for how many seconds the authority's last answer asked us to wait."""
        return self._net.waits

    def open(self) -> None:
        """Read the directory; find the account, or make it.

        Raises:
            OrderError: if the authority will not have us.
            StorageError: if the account cannot be kept.
        """
        settings = self._wanted.acme
        self._net.account = None
        speaks = self.client = client.ClientV2(client.ClientV2.get_directory(settings.directory, self._net), self._net)
        known = self._storage.read_values(self.file)
        uri = known.get("uri")
        if not isinstance(uri, str) or not uri:
            uri = self._introduced()
        self._net.account = messages.RegistrationResource(uri=uri, body=messages.Registration())
        if known.get("email") != settings.email or known.get("uri") != uri:
            if known:
                contact = (f"mailto:{settings.email}",) if settings.email else ()
                with self.answered_for():
                    speaks.update_registration(self._net.account, messages.UpdateRegistration(contact=contact))
            self._storage.write_values(
                self.file, {"uri": uri, "email": settings.email, "directory": settings.directory}
            )

    def _introduced(self) -> str:
        """Make an account; return its URL."""
        settings, speaks = self._wanted.acme, self.client
        meta = speaks.directory.meta if "meta" in speaks.directory.to_partial_json() else None
        binding = None
        if settings.eab is not None:
            kid, secret = settings.eab.kid, settings.eab.hmac_key
            binding = messages.ExternalAccountBinding.from_data(self.key.public_key(), kid, secret, speaks.directory)
        elif meta is not None and meta.external_account_required:
            raise OrderError("the authority wants accounts bound to one that you have with it: set 'eab'")
        wish = messages.NewRegistration.from_data(
            email=settings.email or None, terms_of_service_agreed=True, external_account_binding=binding
        )
        with self.answered_for():
            try:
                return str(speaks.new_account(wish).uri)
            except errors.ConflictError as error:  # it knows our key: the file was lost
                return str(error.location)

    def forget(self) -> None:
        """Introduce ourselves anew, with the key that we have: the authority does not know us any more, as those for tests do."""
        self._storage.write_values(self.file, {})
        self.open()

    @contextmanager
    def answered_for(self) -> Iterator[None]:
        """Within, what is not authorized is the account, not a name: nobody but the operator may begin another.

        Raises:
            OrderError: saying so.
        """
        try:
            yield
        except messages.Error as error:
            if error.typ != _UNAUTHORIZED:
                raise
            files = f"{self._key_file} and {self.file}"
            raise OrderError(
                f"{refused(error)}: our account is not accepted, it may have been deactivated; to begin with another,"
                f" remove {files} and attempts.json from {self._storage.folder}, and reload",
                wait=self.asked_to_wait(),
            ) from error

    def _read_key(self) -> ec.EllipticCurvePrivateKey:
        found = self._storage.read(self._key_file)
        if found is None:
            key = made_key("ecdsa-p256")
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            self._storage.write(self._key_file, pem_of(key))
            return key
        try:
            loaded = serialization.load_pem_private_key(found, None)
        except (ValueError, TypeError):
            loaded = None
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            path = self._storage.folder / self._key_file
            raise StorageError(f"there is no key in {path}; without the file a new account is made")
        return loaded

    def is_unknown(self, error: BaseException) -> bool:
        """Whether ``error`` says that the authority knows no such account; to make one is safe, it is ours by its key."""
        return getattr(error, "typ", "") == _NO_ACCOUNT

    def __repr__(self) -> str:
        return f"<Account in {self._storage.folder / self.file}>"
