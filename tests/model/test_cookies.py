"""Tests of cookies of ours."""

from __future__ import annotations

from twisted.trial import unittest

from balancer.model.cookies import attributes, token


class CookieTests(unittest.TestCase):
    """Tokens and attributes."""

    def test_tokens(self) -> None:
        """A token depends on the secret and on each part, and is the same for ever."""
        made = [token(*each) for each in ((b"s", "a", "b"), (b"s", "b", "a"), (b"t", "a", "b"), (b"s", "a\0b"))]
        self.assertEqual(len(set(made)), 3)  # a name cannot hold the NUL that stands between parts
        self.assertEqual(token(b"s", "side", "side", "a"), "ty6-5LuN1Ri7yMaZV_VOtg")

    def test_attributes(self) -> None:
        """As browsers read them."""
        self.assertEqual(attributes(), "Path=/; HttpOnly; SameSite=Lax")
        whole = attributes("/shop", 3600, secure=True, same_site="none")
        self.assertEqual(whole, "Path=/shop; HttpOnly; Max-Age=3600; Secure; SameSite=None")
