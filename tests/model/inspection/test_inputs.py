"""Tests for :mod:`balancer.model.inspection.inputs`."""

from __future__ import annotations

import gzip
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer import testing
from balancer.model.inspection.inputs import InputLimits, Inputs


class InputsTests(SynchronousTestCase):
    def inputs(
        self, body: bytes = b"", kind: str = "", *, whole: bool = True, url: str = "/", **headers: str
    ) -> Inputs:
        given = [(name.replace("_", "-"), value) for name, value in headers.items()]
        if kind:
            given.append(("Content-Type", kind))
        found = Inputs(testing.facts(url, "POST", given), InputLimits(values=10, depth=5, parts=5, decompressed=1000))
        found.body_is(body, whole)
        return found

    def named(self, values: Any) -> list[str]:
        return [f"{value.target}={value.text}" for value in values]

    def test_query_and_cookies(self) -> None:
        """Each with where it came from."""
        found = self.inputs(url="/?a=1&b=%41", Cookie="c=2; c=3")
        self.assertEqual(self.named(found.query), ["query:a=1", "query:b=A"])
        self.assertEqual(self.named(found.cookies), ["cookie:c=2", "cookie:c=3"])
        self.assertEqual(self.named(found.args), ["query:a=1", "query:b=A"])
        self.assertIs(found.query, found.query)

    def test_bodies(self) -> None:
        """By their type; what has none that is known is text, and what is binary is nothing."""
        for kind, body, expected in (
            ("application/x-www-form-urlencoded; charset=utf-8", b"a=1", ["form:a=1"]),
            ("application/json", b'{"a": 1}', ["json:a=1"]),
            ("application/vnd.api+json", b'{"a": 1}', ["json:a=1"]),
            ("text/plain", b"hello", ["body=hello"]),
            ("", b"hello", ["body=hello"]),
            ("image/png", b"hello", []),
            ("application/octet-stream", b"hello", []),
        ):
            self.assertEqual(self.named(self.inputs(body, kind).fields), expected, kind)

    def test_multipart(self) -> None:
        """Fields are arguments, files are not."""
        body = (
            b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
            b'--B\r\nContent-Disposition: form-data; name="f"; filename="x.php"\r\n\r\ndata\r\n--B--\r\n'
        )
        found = self.inputs(body, "multipart/form-data; boundary=B", url="/?q=0")
        self.assertEqual(self.named(found.args), ["query:q=0", "multipart:a=1"])
        self.assertEqual([(part.name, part.filename) for part in found.files], [("f", "x.php")])
        self.assertEqual(len(found.parts), 2)

    def test_faults(self) -> None:
        """Of all sources together."""
        found = self.inputs(b"{", "application/json", url="/?a=%x", Cookie="; ".join(f"a{at}=1" for at in range(11)))
        self.assertEqual(
            [(fault.source, fault.code) for fault in found.faults],
            [("query", "bad_escape"), ("cookie", "too_many"), ("json", "invalid")],
        )
        self.assertEqual(self.inputs().faults, ())

    def test_compressed(self) -> None:
        """A compressed body is read as what it is."""
        found = self.inputs(gzip.compress(b"a=1"), "application/x-www-form-urlencoded", Content_Encoding="gzip")
        self.assertEqual(self.named(found.fields), ["form:a=1"])
        found = self.inputs(b"a=1", "application/x-www-form-urlencoded", Content_Encoding="br")
        self.assertEqual([fault.code for fault in found.faults], ["unknown_coding"])

    @given(
        st.binary(max_size=500),
        st.sampled_from(
            (
                "application/x-www-form-urlencoded",
                "application/json",
                "multipart/form-data; boundary=B",
                "multipart/mixed; boundary=",
                "text/plain",
            )
        ),
        st.sampled_from(("", "gzip", "deflate", "br, gzip")),
        st.booleans(),
    )
    def test_anything(self, body: bytes, kind: str, coding: str, whole: bool) -> None:
        """Whatever comes, nothing raises."""
        for data in (body, b"--B\r\n" + body + b"\r\n--B--", b'{"a": [' + body):
            found = self.inputs(data, kind, whole=whole, Content_Encoding=coding)
            self.assertLessEqual(len(found.args), 20)
            self.assertIsInstance(found.faults, tuple)

    def test_another_body(self) -> None:
        """The body may come after the query was asked for."""
        found = self.inputs(kind="application/json", url="/?a=1")
        self.assertEqual(found.args, found.query)
        found.body_is(b"[2]", True)
        self.assertEqual(self.named(found.args), ["query:a=1", "json:[0]=2"])
