from __future__ import annotations

from balancer_crs.engine import decoding
from balancer_crs.engine.decoding import best_fit
from twisted.trial.unittest import TestCase


class UrlTests(TestCase):
    def test_escapes_and_plus(self) -> None:
        """Two digits after a percent sign are a byte, a plus is a space; what is no escape stays."""
        for value, expected in (
            (b"", b""),
            (b"TestCase", b"TestCase"),
            (b"Test\x00Case", b"Test\x00Case"),
            (b"+%00%20%41%fF", b" \x00 A\xff"),
            (b"%", b"%"),
            (b"%4", b"%4"),
            (b"%zz%4", b"%zz%4"),
            (b"%%34%31", b"%41"),
            (b"%u0041", b"%u0041"),
        ):
            self.assertEqual(decoding.url_decode(value), expected, value)

    def test_uni(self) -> None:
        """Escapes of four digits are read too, full-width letters as plain ones."""
        for value, expected in (
            (b"%u0041%U0042+", b"AB "),
            (b"%uff1cscript%uFF1e", b"<script>"),
            (b"%u12", b"%u12"),
            (b"%u00zz", b"%u00zz"),
            (b"%u%41", b"%uA"),
            (b"%u017f%u212a", b"sK"),
            (b"%u4e00", b"x"),
        ):
            self.assertEqual(decoding.url_decode_uni(value), expected, value)

    def test_best_fit(self) -> None:
        """A character becomes the one of ASCII that looks like it."""
        self.assertEqual(
            [best_fit(code) for code in (0x41, 0x2019, 0xE9, 0xFF07, 0x2215, 0x80)],
            [b"A", b"'", b"e", b"'", b"/", b"x"],
        )


class HtmlTests(TestCase):
    def test_entities(self) -> None:
        """Numbers in both bases and five names are decoded, with a semicolon or without."""
        for value, expected in (
            (b"&#0;&#X0;&#x20;&#X20;&#0a;", b"\x00\x00  \x00a;"),
            (b"&quot;&amp;&lt;&gt;&nbsp;", b'"&<>\xa0'),
            (b"&LT&Gt", b"<>"),
            (b"&#65", b"A"),
            (b"&#x", b"&#x"),
            (b"&#;", b"&#;"),
            (b"&", b"&"),
            (b"&foo;&foo", b"&foo;&foo"),
            (b"&ltx;", b"&ltx;"),
            (b"&#321;", b"A"),
            (b"&#99999999999999999999999999;", b"\xff"),
        ):
            self.assertEqual(decoding.html_entity_decode(value), expected, value)


class EscapeTests(TestCase):
    def test_js(self) -> None:
        """JavaScript's escapes; one that is none stands for its letter."""
        for value, expected in (
            (rb"\a\b\f\n\r\t\v\?\'\"\0\12\123\x00\xff\u0021\uff01", b"\a\b\f\n\r\t\v?'\"\x00\nS\x00\xff!!"),
            (rb"\a\b\f\n\r\t\v\8\9\666", b"\a\b\f\n\r\t\v8966"),
            (rb"\u00\xg", b"u00xg"),
            (b"\\", b"\\"),
            (rb"\377\400", b"\xff 0"),
        ):
            self.assertEqual(decoding.js_decode(value), expected, value)

    def test_css(self) -> None:
        """CSS's escapes of one to six digits, and the blank after them."""
        for value, expected in (
            (rb"test\a\b\f\n\r\t\v\?\'\"\0\12\123\1234\12345\123456", b"test\n\x0b\x0fnrtv?'\"\x00\x12#4EV"),
            (rb"\1A\1 A\1234567", b"\x1a\x01AV7"),
            (b"\\\ntest", b"test"),
            (b"te\\", b"te"),
            (rb"\0ff1c\ff1c\00ff1c \01ff1c", b"<<<\x1c"),
        ):
            self.assertEqual(decoding.css_decode(value), expected, value)

    def test_ansi(self) -> None:
        """C's escapes; one that is none stands for its letter."""
        for value, expected in (
            (rb"\a\b\f\n\r\t\v\?\'\"\0\12\123\x00\xff", b"\a\b\f\n\r\t\v?'\"\x00\nS\x00\xff"),
            (rb"\xag\0\7", b"xag\x00\x07"),
            (rb"\8\9\666", b"89\xb6"),
            (b"\\", b"\\"),
        ):
            self.assertEqual(decoding.escape_seq_decode(value), expected, value)


class Utf8Tests(TestCase):
    def test_characters(self) -> None:
        """Characters become escapes; NUL goes, a sequence longer than need be leaves a trace, one cut short goes."""
        for value, expected in (
            (b"abc", b"abc"),
            ("\u0105 \u20ac \U0001f600".encode(), b"%u0105 %u20ac %u1f600"),
            (b"a\x00b", b"ab"),
            (b"\xc0\xaf", b"%u002f\xc0"),
            (b"\xe2\x82", b"\x82"),
            (b"\xff\x80", b"\xff\x80"),
            (b"\xed\xa0\x80", b"%ud800\xed"),
        ):
            self.assertEqual(decoding.utf8_to_unicode(value), expected, value)


class NumberTests(TestCase):
    def test_hex(self) -> None:
        """Digits in pairs; an odd one at the end goes."""
        self.assertEqual(decoding.hex_decode(b"546573744361736500f"), b"TestCase\x00")
        self.assertEqual(decoding.hex_decode(b""), b"")
        self.assertEqual(decoding.hex_encode(b"Test\x00"), b"5465737400")

    def test_sql_hex(self) -> None:
        """What SQL writes as a number in base sixteen is text."""
        self.assertEqual(decoding.sql_hex_decode(b"a=0x414243 0X44,0xg"), b"a=ABC D,0xg")

    def test_base64(self) -> None:
        """Strict ends at what is no letter of it; the other leaves that out."""
        for value, strict, lax in (
            (b"VGVzdENhc2U=", b"TestCase", b"TestCase"),
            (b"VGVzdA", b"Test", b"Test"),
            (b"VGVz\r\ndA==", b"Test", b"Test"),
            (b"VGVz.dA==", b"Tes", b"Test"),
            (b"V", b"", b""),
            (b"", b"", b""),
        ):
            self.assertEqual(decoding.base64_decode(value), strict, value)
            self.assertEqual(decoding.base64_decode_ext(value), lax, value)
        self.assertEqual(decoding.base64_encode(b"TestCase"), b"VGVzdENhc2U=")
