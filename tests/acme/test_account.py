"""Tests for :mod:`balancer.acme.account`."""

from __future__ import annotations

from balancer.acme.storage import StorageError
from balancer.config.acme import Eab
from tests.acme.test_conversation import SECRET, StubTestCase


class AccountTests(StubTestCase):
    """One account for each authority, kept and looked after."""

    def test_kept(self) -> None:
        """It is made once, and used from then on; its key is in the storage."""
        self.order(email="a@a.example")
        self.order(email="a@a.example")
        self.assertEqual([each["contact"] for each in self.stub.accounts.values()], [["mailto:a@a.example"]])
        self.assertIn(b"PRIVATE KEY", self.storage.read("account.key") or b"")
        self.assertEqual((self.storage.folder / "account.key").stat().st_mode & 0o777, 0o600)

    def test_contact(self) -> None:
        """Another address, or none, is told to the authority."""
        for email, contact in [
            ("a@a.example", ["mailto:a@a.example"]),
            ("b@a.example", ["mailto:b@a.example"]),
            ("", []),
        ]:
            self.order(email=email)
            self.assertEqual([each["contact"] for each in self.stub.accounts.values()], [contact])

    def test_lost_file(self) -> None:
        """With the key alone the account is found again."""
        self.order()
        (self.storage.folder / "account.json").unlink()
        self.order()
        self.assertEqual(len(self.stub.accounts), 1)
        self.assertTrue(self.storage.read_values("account.json")["uri"])

    def test_forgotten(self) -> None:
        """An authority that knows no such account any more gets to know us again, by the same key."""
        self.order()
        self.stub.accounts.clear()
        self.order()
        self.assertEqual((len(self.stub.accounts), len(self.stub.orders)), (1, 2))

    def test_ended(self) -> None:
        """An account that was ended is not replaced by another: what is to be done is said, and nothing more is asked."""
        self.order()
        for each in self.stub.accounts.values():
            each["status"] = "deactivated"
        error = self.refused()
        self.assertFalse(error.alone)
        self.assertIn(
            "our account is not accepted, it may have been deactivated; to begin with another, remove", str(error)
        )
        self.assertIn("account.key and account.json and attempts.json", str(error))
        (self.storage.folder / "account.json").unlink()
        self.assertIn("our account is not accepted", str(self.refused()))
        (self.storage.folder / "account.key").unlink()
        self.order()
        self.assertEqual([each["status"] for each in self.stub.accounts.values()], ["deactivated", "valid"])

    def test_bound(self) -> None:
        """An account is bound to one that we have with the authority; another one of those has an account of its own."""
        self.stub.required = True
        self.order(eab=Eab(kid="kid-1", hmac_key=SECRET))
        self.order(eab=Eab(kid="kid-1", hmac_key=SECRET))
        self.order(eab=Eab(kid="kid-2", hmac_key=SECRET))
        self.assertEqual([each["kid"] for each in self.stub.accounts.values()], ["kid-1", "kid-2"])
        self.assertEqual(len(self.stub.orders), 3)

    def test_not_bound(self) -> None:
        """Where the authority wants that and it is not there, or is wrong, it is said; nothing is ordered."""
        self.stub.required = True
        self.assertEqual(
            str(self.refused()), "the authority wants accounts bound to one that you have with it: set 'eab'"
        )
        error = self.refused(eab=Eab(kid="kid-3", hmac_key=SECRET))
        self.assertIn("unauthorized", str(error))
        self.assertNotIn(SECRET, str(error))
        self.assertEqual((self.stub.accounts, self.stub.orders), ({}, []))

    def test_broken_key(self) -> None:
        """A file without a key in it is never written over."""
        self.storage.write("account.key", b"nonsense")
        with self.assertRaises(StorageError) as raised:
            self.order()
        self.assertIn("there is no key in", str(raised.exception))
        self.assertEqual(self.storage.read("account.key"), b"nonsense")
