from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from tests.rulesets import libinjection

_WORDS = """select union and or not null sleep benchmark if case when user database version having group by drop insert xor like
    between exists b x n e char ascii true int nq begin exec waitfor collate into outfile load_file regexp limit 1 0 a . _""".split()
_MARKUP = """on style javascript: ` ' " > / script !-- % onload xmlns - svg : &# ; href !DOCTYPE a""".split()


class ShortcutTests(TestCase):
    """What is answered without asking the library is what it would answer."""

    def setUp(self) -> None:
        self.library = libinjection()

    @given(st.lists(st.sampled_from(_WORDS), min_size=1, max_size=6).map("".join))
    @settings(max_examples=2000, deadline=None)
    def test_one_word(self, text: str) -> None:
        """A number or a word alone is no SQL."""
        self.assertEqual(self.library.sqli(text.encode()), self.library._fingerprint(text.encode()))

    @given(st.lists(st.sampled_from([*_MARKUP, " ", "\t", "\0"]), max_size=8).map("".join))
    @settings(max_examples=2000, deadline=None)
    def test_no_tag(self, text: str) -> None:
        """Without a tag and without an attribute's value there is no script."""
        value = text.encode()
        self.assertEqual(self.library._xss(value, len(value)), 0)
