"""Tests of what is alike enough to be shared."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.forwarding.sharing import Sharing, values


class SharingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.sharing = Sharing((b"accept",), 1000)

    def test_requests(self) -> None:
        """Those that read, without anything that asks for an answer of its own."""
        self.assertEqual(self.sharing.alone("GET", [(b"Accept", b"a"), (b"X", b"y")]), "")
        self.assertEqual(self.sharing.alone("POST", []), "the method is POST")
        for name in ("Cookie", "Authorization", "Range", "If-None-Match", "Cache-Control"):
            self.assertEqual(self.sharing.alone("HEAD", [(name.encode(), b"x")]), f"it has a field {name}")
        self.assertEqual(Sharing((b"cookie",), 1).alone("GET", [(b"Cookie", b"x")]), "")

    def test_keys(self) -> None:
        """Method, host, target and the fields chosen, whatever the case of their names, make the difference."""
        key = self.sharing.key("GET", "a", "/x", [(b"ACCEPT", b"1"), (b"Other", b"2")])
        self.assertEqual(key, self.sharing.key("GET", "a", "/x", [(b"Accept", b"1")]))
        for other in (
            self.sharing.key("HEAD", "a", "/x", [(b"Accept", b"1")]),
            self.sharing.key("GET", "b", "/x", [(b"Accept", b"1")]),
            self.sharing.key("GET", "a", "/y", [(b"Accept", b"1")]),
            self.sharing.key("GET", "a", "/x", [(b"Accept", b"2")]),
            self.sharing.key("GET", "a", "/x", [(b"Accept", b"1"), (b"Accept", b"1")]),
            self.sharing.key("GET", "a", "/x", []),
        ):
            self.assertNotEqual(key, other)

    def test_responses(self) -> None:
        """What is for one only is not shared; what depends on fields says on which."""
        for name, value in (
            (b"Set-Cookie", b"a=b"),
            (b"Cache-Control", b"max-age=5, private"),
            (b"cache-control", b'Private="x"'),
            (b"Cache-Control", b"no-store"),
            (b"Vary", b"accept, *"),
        ):
            self.assertIsNone(self.sharing.varies([(name, value)]), value)
        self.assertEqual(self.sharing.varies([(b"Cache-Control", b"public"), (b"Vary", b"B, a")]), (b"a", b"b"))
        self.assertEqual(self.sharing.varies([]), ())

    def test_values(self) -> None:
        """A field that is not there is as an empty one."""
        self.assertEqual(values([(b"A", b"1"), (b"a", b"2")], (b"a", b"b")), (b"1\n2", b""))
