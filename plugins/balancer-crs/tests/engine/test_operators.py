from __future__ import annotations

from balancer_crs.engine import injection, operators
from balancer_crs.engine.operators import Judge, UnavailableError, encode_text, judge, number
from balancer_crs.lang.model import Operator, Reference, Text
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from tests.rulesets import libinjection


def made(name: str, argument: str = "", entries: tuple[str, ...] = ()) -> Judge:
    return judge(Operator(name, argument=Text((argument,)) if argument else Text(), entries=entries))


def holds(name: str, argument: str, value: bytes, entries: tuple[str, ...] = ()) -> bool:
    return made(name, argument, entries).judge(value, encode_text) is not None


class OperatorTests(TestCase):
    def test_texts(self) -> None:
        """Texts are compared byte by byte."""
        for name, argument, yes, no in (
            ("streq", "abc", b"abc", b"abcd"),
            ("contains", "b", b"abc", b"ac"),
            ("strmatch", "b", b"abc", b"ac"),
            ("beginsWith", "ab", b"abc", b"cab"),
            ("endsWith", "bc", b"abc", b"bca"),
            ("within", "GET POST", b"POST", b"PUT"),
            ("containsWord", "be", b"to be or", b"bed"),
            ("unconditionalMatch", "", b"", None),
            ("noMatch", "", None, b"x"),
        ):
            if yes is not None:
                self.assertTrue(holds(name, argument, yes), name)
            if no is not None:
                self.assertFalse(holds(name, argument, no), name)

    def test_numbers(self) -> None:
        """Numbers are compared as such; what is none is nought."""
        for name, value, expected in (
            ("eq", b"5", True),
            ("eq", b"5x", True),
            ("eq", b"", False),
            ("ge", b"5", True),
            ("gt", b"5", False),
            ("le", b"x", True),
            ("lt", b"-1", True),
        ):
            self.assertEqual(holds(name, "5", value), expected, (name, value))
        self.assertEqual([number(text) for text in (b" 12", b"+3", b"-4", b"x")], [12, 3, -4, 0])

    def test_macros(self) -> None:
        """An argument with a macro is made anew each time."""
        text = Text((Reference("TX", "a"),))
        for name, value in (("streq", b"x"), ("rx", b"axb"), ("within", b"x")):
            self.assertIsNotNone(judge(Operator(name, argument=text)).judge(value, lambda text: b"x"), name)
        self.assertIsNotNone(judge(Operator("lt", argument=text)).judge(b"3", lambda text: b"5"))

    def test_expressions(self) -> None:
        """Groups are captured; of the global one those of all matches."""
        self.assertEqual(made("rx", "a(.)").judge(b"xaby", encode_text), (b"ab", b"b"))
        self.assertEqual(made("rxGlobal", "a(.)").judge(b"ab-ac", encode_text), (b"ab", b"b", b"ac", b"c"))
        self.assertIsNone(made("rx", "a(.)").judge(b"x", encode_text))

    def test_phrases(self) -> None:
        """What of the phrases is found is captured; none is found in none."""
        self.assertEqual(made("pm", entries=("foo", "BAR")).judge(b"a bar", encode_text), (b"bar",))
        self.assertFalse(holds("pmFromFile", "", b"x"))
        many = made("pmFromFile", entries=tuple(f"word{each}" for each in range(100)))
        self.assertIsNone(many.scan)
        self.assertTrue(many.possible(b"a\nword99"))
        self.assertFalse(many.possible(b"a\nwor"))

    def test_addresses(self) -> None:
        """Addresses of both versions, and one written as the other."""
        networks = ("10.0.0.0/8", "2001:db8::/32", "192.0.2.1")
        for value, expected in (
            (b"10.1.2.3", True),
            (b"::ffff:10.1.2.3", True),
            (b"2001:db8::1", True),
            (b"192.0.2.1", True),
            (b"192.0.2.2", False),
            (b"nonsense", False),
        ):
            self.assertEqual(holds("ipMatch", "", value, networks), expected, value)

    def test_byte_ranges(self) -> None:
        """The first byte outside is captured."""
        self.assertFalse(holds("validateByteRange", "10, 13, 32-126", b"abc\n"))
        self.assertEqual(made("validateByteRange", "32-126").judge(b"a\x00", encode_text), (b"\x00",))
        self.assertRaises(ValueError, made, "validateByteRange", "a-b")

    def test_encodings(self) -> None:
        """Escapes that are none, and bytes that are no UTF-8."""
        for name, yes, no in (
            ("validateUrlEncoding", (b"%", b"%4", b"%zz"), (b"", b"a%41")),
            ("validateUtf8Encoding", (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82"), (b"", "aé€".encode())),
        ):
            for value in yes:
                self.assertTrue(holds(name, "", value), value)
            for value in no:
                self.assertFalse(holds(name, "", value), value)

    def test_check_digits(self) -> None:
        """Numbers with right check digits."""
        self.assertTrue(holds("verifyCC", r"\d{13,16}", b"4111111111111111"))
        self.assertFalse(holds("verifyCC", r"\d{13,16}", b"4111111111111112"))
        self.assertTrue(holds("verifyCC", r"\d{16}", b"1234567890123456 4111111111111111"))

    def test_unavailable(self) -> None:
        """What needs a network says so."""
        self.assertRaises(UnavailableError, made, "rbl", "x")

    @given(
        st.sampled_from(
            ["validateByteRange 32-126", "validateByteRange 10,32-126", "validateUrlEncoding", "validateUtf8Encoding"]
        )
        | st.sampled_from(
            [
                "contains b",
                "streq ab",
                "beginsWith a",
                "endsWith b",
                "rx ^a$",
                "rx a.b",
                "rx [^a]",
                "rx a\\b",
                "pm ab c",
            ]
        ),
        st.lists(st.text("ab c%1é\x00\n", max_size=5).map(str.encode), min_size=1, max_size=4),
    )
    @settings(max_examples=1500, deadline=None)
    def test_joined(self, text: str, values: list[bytes]) -> None:
        """What holds for a value is seen as possible in joined ones."""
        name, _, argument = text.partition(" ")
        made_of = made(name, "" if name == "pm" else argument, tuple(argument.split()) if name == "pm" else ())
        if any(made_of.judge(value, encode_text) is not None for value in values):
            joined = b"\n".join(values)
            self.assertTrue(made_of.possible(joined))
            if made_of.scan is not None:
                self.assertTrue(operators.compiled(made_of.scan)[0].found(joined))


class InjectionTests(TestCase):
    def setUp(self) -> None:
        libinjection()

    def test_sqli(self) -> None:
        """SQL is found, and its fingerprint captured."""
        self.assertEqual(made("detectSQLi").judge(b"1 UNION SELECT 1", encode_text), (b"1UE1",))
        for value in (b"", b"select", b"12", b"a nice day"):
            self.assertFalse(holds("detectSQLi", "", value), value)

    def test_xss(self) -> None:
        """A script is found; without a tag or an attribute's value there is none."""
        for value in (b"<script>alert(1)", b"' onload=alert(1)", b"<a href='javascript:x'>"):
            self.assertTrue(holds("detectXSS", "", value), value)
        for value in (b"", b"hello", b"a=b"):
            self.assertFalse(holds("detectXSS", "", value), value)
        self.assertFalse(made("detectXSS").possible(b"a\nb"))

    def test_missing(self) -> None:
        """Without the library the operator says what is missing."""
        self.patch(injection, "library", lambda: None)
        self.assertRaisesRegex(UnavailableError, "libinjection", made, "detectSQLi")
