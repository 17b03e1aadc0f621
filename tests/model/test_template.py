"""Tests of text with holes."""

from __future__ import annotations

from twisted.trial import unittest

from balancer.model.template import Template
from tests.routing.making import facts


def rendered(text: str, captures: dict[str, str] | None = None) -> bytes:
    request = facts("/a%20b?x=1&y=%C3%A9", "PUT", "A.example:81", (("X-One", "1"), ("Cookie", "c=2")), "10.0.0.1")
    return Template(text).render(request, captures or {}, "users", lambda value: value)


class TemplateTests(unittest.TestCase):
    """Names in braces become what the request has."""

    def test_facts(self) -> None:
        """Every name of the documentation."""
        for text, expected in {
            "{client_ip}:{client_port}": b"10.0.0.1:4711",
            "{scheme}://{host}{path}": b"http://a.example/a b",
            "{method} {target}": b"PUT /a%20b?x=1&y=%C3%A9",
            "?{query}": b"?x=1&y=%C3%A9",
            "{route}": b"users",
            "{header:x-one}{header:X-Two}": b"1",
            "{cookie:c}{cookie:d}": b"2",
            "{query:x}{query:y}{query:z}": "1é".encode(),
        }.items():
            self.assertEqual(rendered(text), expected, text)

    def test_captures(self) -> None:
        """Any other name is a capture; one that is missing is empty; odd bytes come out as they went in."""
        self.assertEqual(rendered("u-{id}{no}!", {"id": "a\udcff"}), b"u-a\xff!")
        self.assertEqual(Template("{id}{host}{b}").captures, {"id", "b"})

    def test_constant(self) -> None:
        """Text without holes is itself, doubled braces single."""
        self.assertEqual(Template('{{"a": 1}}').constant, b'{"a": 1}')
        self.assertEqual(Template("é").constant, "é".encode())
        self.assertEqual(Template("").constant, b"")
        self.assertEqual(rendered("a{{b"), b"a{b")
        self.assertIsNone(Template("{id}").constant)

    def test_clean(self) -> None:
        """What is filled in is cleaned, the text itself is not."""
        got = Template("b{id}b").render(facts(), {"id": "b"}, "", lambda value: value.replace(b"b", b"*"))
        self.assertEqual(got, b"b*b")

    def test_refuses(self) -> None:
        """A brace alone, an empty or impossible name."""
        for text in ("{", "}", "{}", "{a b}", "{a", "a}", "{header:}", "{header:a b}", "{nothing:x}", "{1}", "{{{"):
            self.assertRaises(ValueError, Template, text)

    def test_check(self) -> None:
        """A name that nobody captures is an error that says what there is."""
        Template("{id}").check(["id"])
        error = self.assertRaises(ValueError, Template("{id}").check, ["user", "x"])
        self.assertEqual(str(error), "unknown name {id} in '{id}'; the path captures user, x")
        error = self.assertRaises(ValueError, Template("{id}").check, [])
        self.assertEqual(str(error), "unknown name {id} in '{id}'; the path captures nothing")

    def test_is_a_value(self) -> None:
        """Equal text, equal template."""
        self.assertEqual(Template("{a}"), Template("{a}"))
        self.assertEqual(len({Template("{a}"), Template("{a}"), Template("{b}")}), 2)
        self.assertEqual(repr(Template("{a}")), "<Template '{a}'>")
