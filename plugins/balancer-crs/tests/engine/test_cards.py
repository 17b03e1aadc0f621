from __future__ import annotations

from balancer_crs.engine import cards
from twisted.trial.unittest import TestCase


class CardTests(TestCase):
    def test_numbers(self) -> None:
        """The right one of each kind, and one digit off."""
        for check, right, wrong in (
            (cards.card, b"4111 1111 1111 1111", b"4111 1111 1111 1112"),
            (cards.cpf, b"529.982.247-25", b"529.982.247-24"),
            (cards.ssn, b"078-05-1120", b"666-05-1120"),
            (cards.svnr, b"1237 010180", b"1238 010180"),
        ):
            self.assertTrue(check(right), right)
            self.assertFalse(check(wrong), wrong)
            self.assertFalse(check(b""))
