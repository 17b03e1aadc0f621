"""An authority that speaks ACME (RFC 8555) over https on loopback: strict about accounts and signatures, easy about proofs.

Real ones are asked in :mod:`tests.live`; this one has what they have not, or have only for who pays: external account binding, profiles,
other chains, suggested renewal, accounts that are ended.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from tests.tls.authority import Authority, unsigned

__all__ = ["StubAuthority"]

_PROBLEM = "urn:ietf:params:acme:error:"


def unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that are gone; what is wrong with us shows on the other side."""


class StubAuthority:
    """One; closed by ``close``.

    ``accounts`` maps each account's URL to ``{"key", "contact", "status", "kid"}``; ``orders`` are the bodies of what was ordered; ``window``
    the answer to who asks when to renew, by the certificate's identifier, with its headers. ``refuse`` is asked with the resource's name
    before anything else, and may return a status, the kind of problem, and headers.
    """

    def __init__(self, folder: Path, secrets: dict[str, str] | None = None) -> None:
        self.root, other = Authority("Stub Root"), Authority("Other Root")
        self.issuer = Authority("Stub Issuer", self.root)
        self.other = Authority("Other Issuer", other)
        self.secrets = secrets or {}
        self.required = False
        self.profiles: dict[str, str] = {}
        self.suggests = True
        self.accounts: dict[str, dict[str, Any]] = {}
        self.orders: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.window: Callable[[str], tuple[int, Any, dict[str, str]]] = lambda _: (404, {}, {})
        self.refuse: Callable[[str], tuple[int, str, dict[str, str]] | None] = lambda _: None
        self.days = 90.0
        self._chains: list[bytes] = []
        self._lock = threading.Lock()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                stub._answer(self, None)

            def do_HEAD(self) -> None:
                stub._answer(self, None)

            def do_POST(self) -> None:
                stub._answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        shown = folder / "stub.pem"
        self.root.issue("localhost", "127.0.0.1").write(shown)
        self.ca = folder / "stub-ca.pem"
        self.ca.write_bytes(self.root.issued.cert)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(shown)
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.base = f"https://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def directory(self) -> str:
        return f"{self.base}/directory"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler, body: bytes | None) -> None:
        parts = handler.path.strip("/").split("/")
        self.asked.append(parts[0])
        refused = self.refuse(parts[0])
        with self._lock:
            try:
                if refused is not None:
                    raise _Refused(*refused)
                status, content, headers = getattr(self, f"_{parts[0]}")(parts[1:], self._opened(handler, body))
            except _Refused as error:
                content = {"type": _PROBLEM + error.kind, "detail": f"the stub says {error.kind}"}
                status, headers = error.status, {**error.headers, "Content-Type": "application/problem+json"}
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", "Replay-Nonce": "bm9uY2U", **headers}.items():
            for each in value if isinstance(value, list) else [value]:
                handler.send_header(name, each)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(data)

    def _opened(self, handler: BaseHTTPRequestHandler, body: bytes | None) -> Any:
        """Return what is signed, and by whom: ``(account's URL or None, key, payload)``."""
        if body is None:
            return None
        signed = json.loads(body)
        protected = json.loads(unbase64(signed["protected"]))
        if protected["url"] != self.base + handler.path:
            raise _Refused(400, "malformed")
        account = protected.get("kid")
        if account is None:
            key = protected["jwk"]
        elif account not in self.accounts:
            raise _Refused(400, "accountDoesNotExist")
        else:
            key = self.accounts[account]["key"]
            if self.accounts[account]["status"] != "valid":
                raise _Refused(403, "unauthorized")
        self._verify(signed, key)
        payload = unbase64(signed["payload"])
        return account, key, json.loads(payload) if payload else None

    @staticmethod
    def _verify(signed: dict[str, Any], key: dict[str, str]) -> None:
        """Check the signature, ES256 (RFC 7518 section 3.4)."""
        numbers = ec.EllipticCurvePublicNumbers(*(int.from_bytes(unbase64(key[each])) for each in "xy"), ec.SECP256R1())
        signature = unbase64(signed["signature"])
        der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        data = f"{signed['protected']}.{signed['payload']}".encode()
        try:
            numbers.public_key().verify(der, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise _Refused(400, "malformed") from None

    # The resources.

    def _directory(self, _parts: list[str], _body: Any) -> Any:
        names = {"newNonce": "nonce", "newAccount": "account", "newOrder": "order", "revokeCert": "revoke"}
        found: dict[str, Any] = {key: f"{self.base}/{name}" for key, name in names.items()}
        if self.suggests:
            found["renewalInfo"] = f"{self.base}/renewal"
        found["meta"] = {"externalAccountRequired": self.required, "profiles": self.profiles}
        return 200, found, {}

    def _nonce(self, _parts: list[str], _body: Any) -> Any:
        return 204, b"", {}

    def _account(self, parts: list[str], body: Any) -> Any:
        _, key, wish = body
        if parts:
            found = self.accounts[f"{self.base}/account/{parts[0]}"]
            found["contact"] = wish.get("contact", found["contact"])
            return 200, {"status": found["status"], "contact": found["contact"]}, {}
        for url, found in self.accounts.items():
            if found["key"] == key:
                if found["status"] != "valid":
                    raise _Refused(403, "unauthorized")
                return 200, {"status": "valid", "contact": found["contact"]}, {"Location": url}
        if wish.get("onlyReturnExisting"):
            raise _Refused(400, "accountDoesNotExist")
        kid = self._bound(wish.get("externalAccountBinding"), key)
        url = f"{self.base}/account/{len(self.accounts) + 1}"
        contact = wish.get("contact", [])
        self.accounts[url] = {"key": key, "contact": contact, "status": "valid", "kid": kid}
        return 201, {"status": "valid", "contact": contact}, {"Location": url}

    def _bound(self, binding: Any, key: Any) -> str:
        if binding is None:
            if self.required:
                raise _Refused(403, "externalAccountRequired")
            return ""
        protected = json.loads(unbase64(binding["protected"]))
        secret = self.secrets.get(protected["kid"])
        if secret is None or protected["alg"] != "HS256" or protected["url"] != f"{self.base}/account":
            raise _Refused(403, "unauthorized")
        if json.loads(unbase64(binding["payload"])) != key:
            raise _Refused(400, "malformed")
        check = hmac.HMAC(unbase64(secret), hashes.SHA256())
        check.update(f"{binding['protected']}.{binding['payload']}".encode())
        check.verify(unbase64(binding["signature"]))
        return str(protected["kid"])

    def _order(self, parts: list[str], body: Any) -> Any:
        if not parts:
            wish = body[2]
            if wish.get("profile") and wish["profile"] not in self.profiles:
                raise _Refused(400, "invalidProfile")
            if wish.get("replaces") in {each.get("replaces") for each in self.orders} - {None}:
                raise _Refused(409, "alreadyReplaced")
            self.orders.append(wish)
            return 201, self._state(len(self.orders)), {"Location": f"{self.base}/order/{len(self.orders)}"}
        return 200, self._state(int(parts[0])), {}

    def _state(self, number: int) -> dict[str, Any]:
        wish = self.orders[number - 1]
        state = {
            "status": "valid" if "csr" in wish else "ready",
            "identifiers": wish["identifiers"],
            "authorizations": [f"{self.base}/authorization/{each['value']}" for each in wish["identifiers"]],
            "finalize": f"{self.base}/finalize/{number}",
        }
        return {**state, "certificate": f"{self.base}/certificate/{number}"} if "csr" in wish else state

    def _authorization(self, parts: list[str], _body: Any) -> Any:
        return 200, {"status": "valid", "identifier": {"type": "dns", "value": parts[0]}, "challenges": []}, {}

    def _finalize(self, parts: list[str], body: Any) -> Any:
        self.orders[int(parts[0]) - 1]["csr"] = x509.load_der_x509_csr(unbase64(body[2]["csr"]))
        return 200, self._state(int(parts[0])), {"Location": f"{self.base}/order/{parts[0]}"}

    def _certificate(self, parts: list[str], _body: Any) -> Any:
        by = self.other if len(parts) > 1 else self.issuer
        chain = self._signed(self.orders[int(parts[0]) - 1], by) + by.issued.cert
        links = [] if len(parts) > 1 else [f'<{self.base}/certificate/{parts[0]}/other>;rel="alternate"']
        return 200, chain, {"Content-Type": "application/pem-certificate-chain", "Link": links}

    def _signed(self, wish: dict[str, Any], by: Authority) -> bytes:
        csr = wish["csr"]
        alternative = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        named = by.issued.certificate.subject
        key = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.issued.private.public_key())
        builder = unsigned(x509.Name([]), named, csr.public_key(), self.days, 0)
        builder = builder.add_extension(alternative, True).add_extension(key, False)
        return builder.sign(by.issued.private, hashes.SHA256()).public_bytes(Encoding.PEM)

    def _renewal(self, parts: list[str], _body: Any) -> Any:
        return self.window(parts[0])


class _Refused(Exception):
    def __init__(self, status: int, kind: str, headers: dict[str, str] | None = None) -> None:
        self.status, self.kind, self.headers = status, kind, headers or {}
