from __future__ import annotations

from balancer_crs.engine.patterns import Backtracking, Bundle, Linear, TimeLimitError, compiled, phrases, to_re2
from twisted.trial.unittest import TestCase


class LinearTests(TestCase):
    def test_dialect(self) -> None:
        """A dot is any byte, ends are those of the text, bytes are bytes, and white space is PCRE's."""
        self.assertEqual(Linear(b"^a.b$").find(b"a\nb"), (b"a\nb",))
        self.assertIsNone(Linear(b"^b$").find(b"a\nb"))
        self.assertIsNone(Linear(b"b$").find(b"b\n"))
        self.assertTrue(Linear(rb"^\xff$").found(b"\xff"))
        self.assertTrue(Linear("^é$".encode()).found("é".encode()))
        self.assertTrue(Linear(rb"^\s[\s]$").found(b"\v\v"))

    def test_groups(self) -> None:
        """What was found comes first, then its groups, an absent one empty, ten in all."""
        self.assertEqual(Linear(b"(a)|(b)").find(b"xb"), (b"b", b"", b"b"))
        found = Linear(b"(a)" * 12).find(b"a" * 12)
        assert found is not None
        self.assertEqual(len(found), 10)

    def test_rewriting(self) -> None:
        """Only what means something else is rewritten."""
        for pattern, expected in (
            (rb"\s+[^\s\d]\\s[[:space:]x]\]", rb"[\s\x0b]+[^\s\x0b\d]\\s[[:space:]x]\]"),
            (rb"[]\s]", rb"[]\s\x0b]"),
            (rb"[a[\h]\R", rb"[a\[\t ](?:\r\n|[\n-\r])"),
        ):
            self.assertEqual(to_re2(pattern), expected)

    def test_ends_of_the_text(self) -> None:
        """An expression for the text's own ends cannot be looked for in joined values."""
        self.assertIsNone(Linear(rb"\Aa").scan)
        self.assertIsNone(Linear(rb"(?-s)a.b").scan)
        self.assertEqual(Linear(b"^a").scan, b"(?sm)^a")


class BacktrackingTests(TestCase):
    def test_refused_by_re2(self) -> None:
        """What RE2 refuses is matched all the same, and the reason told."""
        search, reason = compiled(rb"a(?!b)(.)")
        self.assertIsInstance(search, Backtracking)
        self.assertIn("invalid perl operator", str(reason))
        self.assertEqual(search.find(b"abac"), (b"ac", b"c"))
        self.assertFalse(search.found(b"ab"))
        self.assertIsNone(search.scan)

    def test_time_limit(self) -> None:
        """A search that would take for ever is broken off."""
        search, _ = compiled(rb"^(?=a)(a|aa)+$(?!b)")
        self.assertRaises(TimeLimitError, search.find, b"a" * 5000 + b"b")

    def test_no_expression(self) -> None:
        """What nobody can read is refused."""
        self.assertRaises(ValueError, compiled, b"(")


class PhraseTests(TestCase):
    def test_any_of_them(self) -> None:
        """Phrases are taken literally, in capitals or not."""
        search = phrases([b"a.b", b"C|D", b"\xc3\xa9"])
        self.assertEqual(search.find(b"xA.B"), (b"A.B",))
        self.assertIsNone(search.find(b"axb c d"))
        self.assertTrue(search.found("é".encode()))


class BundleTests(TestCase):
    def test_places(self) -> None:
        """It says which of its expressions are there."""
        bundle = Bundle([b"a+", b"b", b"c"])
        self.assertEqual(bundle.find(b"xcxa"), {0, 2, 3} & bundle.find(b"xcxa"))
        self.assertIn(0, bundle.find(b"xcxa"))
        self.assertNotIn(1, bundle.find(b"xcxa"))
        self.assertEqual(bundle.find(b""), frozenset())

    def test_out_of_memory(self) -> None:
        """A set that gave up silently is seen by the empty expression that it did not find, and asked one by one."""

        class GivesUp:
            def Match(self, text: bytes) -> list[int]:
                return []

        bundle = Bundle([b"a+", b"b"])
        bundle._set = GivesUp()
        self.assertEqual(bundle.find(b"xa"), {0})
        self.assertEqual(bundle.exhausted, 1)
