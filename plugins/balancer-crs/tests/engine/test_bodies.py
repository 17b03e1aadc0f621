from __future__ import annotations

from balancer_crs.engine.bodies import cookies, read_json, read_urlencoded, read_xml, urlencoded
from twisted.trial.unittest import TestCase


class FormTests(TestCase):
    def test_pairs(self) -> None:
        """Names and values in order, decoded; nothing is none."""
        for text, expected in (
            (b"", []),
            (b"a=1&b&=c&a=2=3", [(b"a", b"1"), (b"b", b""), (b"", b"c"), (b"a", b"2=3")]),
            (b"a%3d=+%zz", [(b"a=", b" %zz")]),
            (b"&", [(b"", b""), (b"", b"")]),
        ):
            self.assertEqual(urlencoded(text), expected, text)
        self.assertEqual(urlencoded(b"a=1;b=2", b";"), [(b"a", b"1"), (b"b", b"2")])

    def test_bad_escapes(self) -> None:
        """An escape that is none is noted."""
        self.assertTrue(read_urlencoded(b"a=%zz").bad_escapes)
        self.assertFalse(read_urlencoded(b"a=%41").bad_escapes)


class CookieTests(TestCase):
    def test_pairs(self) -> None:
        """Nothing is decoded; an empty name is none."""
        self.assertEqual(list(cookies(b"a=1; b; =c;;d=%41=2 ")), [(b"a", b"1"), (b"b", b""), (b"d", b"%41=2")])


class JsonTests(TestCase):
    def test_names(self) -> None:
        """Leaves have the names of the way to them."""
        body = read_json(b'{"a": {"b": [1, "x", {"c": true}]}, "d": null, "e": 1.50, "a": false}')
        self.assertEqual(body.error, "")
        self.assertEqual(
            body.args,
            [
                (b"json.a.b.array_0", b"1"),
                (b"json.a.b.array_1", b"x"),
                (b"json.a.b.array_2.c", b"true"),
                (b"json.d", b""),
                (b"json.e", b"1.50"),
                (b"json.a", b"false"),
            ],
        )
        self.assertEqual(read_json(b'"x"').args, [(b"json", b"x")])
        self.assertEqual(read_json(rb'"\ud800"').args, [(b"json", b"\xed\xa0\x80")])

    def test_errors(self) -> None:
        """What is no JSON is an error; nothing at all is none."""
        for text in (b"{", b'{"a": NaN}', b'"\xff"', b"[1,]", b'{"a":1} x'):
            self.assertTrue(read_json(text).error, text)
        self.assertEqual(read_json(b" ").error, "")

    def test_depth(self) -> None:
        """Nesting is limited; brackets in texts are none."""
        self.assertIn("deeper", read_json(b"[" * 20 + b"]" * 20, 10).error)
        self.assertEqual(read_json(b"[" * 10 + b"]" * 10, 10).error, "")
        self.assertEqual(read_json(b'["' + b"[" * 20 + b'"]', 10).error, "")
        self.assertEqual(read_json(b"[" + b"[]," * 20 + b"[]]", 10).error, "")
        self.assertTrue(read_json(b"[" * 100_000, 1_000_000).error)


class XmlTests(TestCase):
    def test_texts_and_attributes(self) -> None:
        """The text of the whole document, and each attribute."""
        document = read_xml(b'<?xml version="1.0"?><a x="1"><b y="2">t<!-- no -->u</b> v</a>').xml
        assert document is not None
        self.assertEqual(document.values("/*"), [b"tu v"])
        self.assertEqual(document.values("//@*"), [b"1", b"2"])
        self.assertEqual(document.values("//b"), [b"tu"])
        self.assertEqual(document.values("///"), [])

    def test_errors(self) -> None:
        """What is not well-formed is an error."""
        for text in (b"<a>", b"x", b"<a></b>"):
            self.assertTrue(read_xml(text).error, text)

    def test_entities(self) -> None:
        """Entities are neither replaced nor fetched."""
        bomb = b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;"><!ENTITY d SYSTEM "file:///etc/passwd">]><a>&c;&d;x</a>'
        document = read_xml(bomb).xml
        assert document is not None
        self.assertEqual(document.values("/*"), [b"&c;&d;x"])
