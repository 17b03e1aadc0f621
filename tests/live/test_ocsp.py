"""OCSP with a responder that everybody has: ``openssl ocsp``, over a small authority's index."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

from tests.live.balancers import Peer, Server, wait_until
from tests.live.processes import free_port
from tests.live.programs import need
from tests.live.test_tls_certificates import CA, _Story
from tests.tls.authority import Issued
from tests.tls.responder import answer

GOOD = "OCSP Response Status: successful"
NONE = "OCSP response: no response sent"


class ResponderTests(_Story):
    """Answers of a real responder, good and not."""

    def setUp(self) -> None:
        super().setUp()
        self.responder_port = free_port()
        CA.issued.write(self.at / "signer.pem", self.at / "signer.key")
        self.shop = self.issue("shop.example", 3)

    def issue(self, name: str, number: int, *, must_staple: bool = False) -> Issued:
        return CA.issue(name, number=number, ocsp=f"http://127.0.0.1:{self.responder_port}/", must_staple=must_staple)

    def index(self, *known: Issued, revoked: tuple[Issued, ...] = ()) -> Path:
        """Write what the authority knows of its certificates, as ``openssl ca`` does."""
        lines = []
        for issued in (*known, *revoked):
            certificate = issued.certificate
            ends = certificate.not_valid_after_utc.strftime("%y%m%d%H%M%SZ")
            gone = datetime.now(UTC).strftime("%y%m%d%H%M%SZ,keyCompromise") if issued in revoked else ""
            serial = f"{certificate.serial_number:X}"
            serial = "0" * (len(serial) % 2) + serial
            name = f"/CN={certificate.subject.rfc4514_string().removeprefix('CN=')}"
            lines.append(f"{'R' if gone else 'V'}\t{ends}\t{gone}\t{serial}\tunknown\t{name}\n")
        path = self.at / "index.txt"
        path.write_text("".join(lines))
        (self.at / "index.txt.attr").write_text("unique_subject = no\n")
        return path

    def respond(self, index: Path, *words: str) -> subprocess.Popen[bytes]:
        command = [need("openssl"), "ocsp", "-index", str(index), "-port", str(self.responder_port)]
        command += ["-CA", str(self.at / "ca.pem"), "-rsigner", str(self.at / "signer.pem")]
        command += ["-rkey", str(self.at / "signer.key"), *(words or ("-ndays", "1"))]
        output = (self.at / "responder.txt").open("wb")
        self.addCleanup(output.close)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        wait_until(lambda: b"waiting for OCSP client" in (self.at / "responder.txt").read_bytes())
        return process

    def status(self, name: str = "shop.example") -> str:
        return self.s_client("-servername", name, "-status", "-CAfile", str(self.at / "ca.pem"))

    def test_good_and_revoked(self) -> None:
        """What is good goes with its certificate, and with one that must be stapled; what is revoked goes without, and is told."""
        must = self.issue("must.example", 4, must_staple=True)
        gone = self.issue("gone.example", 5)
        self.respond(self.index(self.shop, must, revoked=(gone,)))
        running = self.begin(
            "certificates: [AT/shop.pem, AT/must.pem, AT/gone.pem]",
            top="workers: 2",
            shop=self.shop,
            must=must,
            gone=gone,
        )
        for name in ("shop.example", "must.example"):
            wait_until(lambda name=name: all(GOOD in self.status(name) for _ in range(6)), 60)
            self.assertIn("Cert Status: good", self.status(name))
            self.assertIn(" 200 ", self.curl("--cert-status", host=name))
        wait_until(lambda: "no OCSP answer about" in running.output.read_text(), 60)
        self.assertIn("revoked", running.output.read_text())
        self.assertIn(NONE, self.status("gone.example"))

    def test_over(self) -> None:
        """An answer that is over already is not passed on."""

        def talk(peer: Peer) -> None:
            head = peer.head()
            peer.exactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            body = answer(CA, self.shop, since=-30.0)
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body))

        self.addCleanup(Server(talk, self.responder_port).close)
        running = self.begin("certificates: AT/shop.pem", shop=self.shop)
        wait_until(lambda: "no OCSP answer about" in running.output.read_text(), 60)
        self.assertIn(NONE, self.status())

    def test_unknown(self) -> None:
        """Nor is one about a certificate that the authority does not know."""
        self.respond(self.index())
        running = self.begin("certificates: AT/shop.pem", shop=self.shop)
        wait_until(lambda: "no OCSP answer about" in running.output.read_text(), 60)
        self.assertIn(NONE, self.status())

    def test_down(self) -> None:
        """Nobody answers: clients are served all the same, without; what was fetched before outlives the responder."""
        running = self.begin("certificates: AT/shop.pem", shop=self.shop)
        wait_until(lambda: "no OCSP answer about" in running.output.read_text(), 60)
        self.assertIn(NONE, self.status())
        self.assertIn(" 200 ", self.curl())
        running.process.terminate()
        running.process.wait(30)
        responder = self.respond(self.index(self.shop))
        self.begin("certificates: AT/shop.pem", shop=self.shop)
        wait_until(lambda: GOOD in self.status(), 60)
        responder.terminate()
        responder.wait(30)
        self.assertIn(GOOD, self.status())
