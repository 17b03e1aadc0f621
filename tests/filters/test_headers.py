"""Tests of the headers filter."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from twisted.trial import unittest
from zope.interface.verify import verifyObject

from balancer.filters.headers import HEADERS, HeaderFilter, HeaderSettings
from balancer.hooks.interfaces import IFilter
from balancer.model.exchange import Exchange
from balancer.model.headers import RawHeaders
from tests.routing.making import facts

FIELDS: RawHeaders = [
    (b"Host", b"a.example"),
    (b"x-one", b"1"),
    (b"Accept", b"*/*"),
    (b"X-One", b"2"),
    (b"X-Two", b"token=a&token=b"),
]


def made(settings: dict[str, Any]) -> HeaderFilter:
    filter_ = HEADERS.build(HeaderSettings.model_validate(settings))
    assert isinstance(filter_, HeaderFilter)
    return filter_


def after(steps: dict[str, Any], headers: RawHeaders | None = None, **captures: str) -> RawHeaders:
    exchange = Exchange(facts("/u/7?a=b"), list(FIELDS if headers is None else headers), "users")
    exchange.captures = captures
    made({"request": steps}).request(exchange)
    return exchange.headers


def lines(headers: RawHeaders) -> list[str]:
    return [f"{name.decode()}: {value.decode('latin-1')}" for name, value in headers]


class HeaderFilterTests(unittest.TestCase):
    """Each step, and their order."""

    def test_is_a_filter(self) -> None:
        """It wants no body, and streams."""
        filter_ = made({})
        verifyObject(IFilter, filter_)
        self.assertEqual(filter_.body_limit, 0)

    def test_set(self) -> None:
        """Exactly one is left, where the first stood; a new one goes to the end."""
        self.assertEqual(
            lines(after({"set": {"X-ONE": "3", "X-New": 4}})),
            ["Host: a.example", "X-ONE: 3", "Accept: */*", "X-Two: token=a&token=b", "X-New: 4"],
        )

    def test_add(self) -> None:
        """One more field, or several; those that are there stay."""
        self.assertEqual(
            lines(after({"add": {"X-One": ["3", "4"], "Via": "x"}}))[5:], ["X-One: 3", "X-One: 4", "Via: x"]
        )

    def test_remove(self) -> None:
        """All fields of a name, or all names with a beginning, whatever their case."""
        self.assertEqual(lines(after({"remove": ["x-ONE"]}))[1:], ["Accept: */*", "X-Two: token=a&token=b"])
        self.assertEqual(lines(after({"remove": ["X-*"]})), ["Host: a.example", "Accept: */*"])
        self.assertEqual(lines(after({"remove": ["H*", "A*", "X*"]})), ["Host: a.example"])

    def test_rename(self) -> None:
        """Values, places and repeats stay."""
        self.assertEqual(lines(after({"rename": {"X-One": "Y"}}))[1:4], ["Y: 1", "Accept: */*", "Y: 2"])

    def test_replace(self) -> None:
        """Inside every value of that name."""
        self.assertEqual(
            lines(after({"replace": {"x-two": {"regex": "token=(.)", "with": r"t=\1\1"}}}))[4:], ["X-Two: t=aa&t=bb"]
        )

    def test_order_of_steps(self) -> None:
        """Remove, rename, replace, set, add: a client's field cannot pass for one of ours."""
        steps = {
            "add": {"X-Two": "added"},
            "rename": {"X-One": "X-Two"},
            "remove": ["X-Two"],
            "replace": {"X-Two": {"regex": "^1$", "with": "one"}},
        }
        self.assertEqual(
            lines(after(steps)), ["Host: a.example", "X-Two: one", "Accept: */*", "X-Two: 2", "X-Two: added"]
        )

    def test_values_from_the_request(self) -> None:
        """Facts, captures, the route, and braces."""
        steps = {"set": {"A": "{client_ip} {route} {id}", "B": "{{{method}}}", "Host": "{id}.example", "C": "{no}"}}
        self.assertEqual(
            lines(after(steps, [(b"Host", b"x")], id="7", no=""))[0:],
            ["Host: 7.example", "A: 192.0.2.1 users 7", "B: {GET}", "C: "],
        )

    @given(st.text(max_size=20))
    def test_nothing_ends_the_line(self, value: str) -> None:
        """Whatever was captured, the field stays one line, and raw bytes stay as they were sent."""
        ((_, got),) = after({"set": {"A": "{id}"}}, [], id=value.encode("utf-8", "replace").decode())
        self.assertFalse(set(got) & set(b"\r\n\0"), got)
        self.assertEqual(got, got.strip(b" \t"))

    def test_raw_bytes(self) -> None:
        """Bytes that are not UTF-8 reach the server as the client sent them."""
        self.assertEqual(after({"set": {"A": "{id}"}}, [], id="\udcff"), [(b"A", b"\xff")])

    def test_response(self) -> None:
        """The response has its own steps; Host is nothing special there."""
        exchange = Exchange(facts(), list(FIELDS))
        exchange.response_headers = [(b"Server", b"x"), (b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2")]
        filter_ = made({"response": {"remove": ["server", "host"], "set": {"X-Frame-Options": "DENY"}}})
        filter_.request(exchange)
        filter_.response(exchange)
        self.assertEqual(
            lines(exchange.response_headers), ["Set-Cookie: a=1", "Set-Cookie: b=2", "X-Frame-Options: DENY"]
        )
        self.assertEqual(exchange.headers, FIELDS)

    def test_captures(self) -> None:
        """The filter says what it needs from the path."""
        filter_ = made({"request": {"set": {"A": "{id}{host}"}}, "response": {"add": {"B": ["{x}", "y"]}}})
        self.assertEqual(filter_.captures, {"id", "x"})

    def test_describe(self) -> None:
        """The steps in words."""
        filter_ = made(
            {
                "request": {"add": {"A": "1"}, "remove": ["B"], "rename": {"C": "D"}},
                "response": {"set": {"E": "1"}, "replace": {"F": {"regex": "x", "with": ""}}},
            }
        )
        words = "request: remove B, rename C to D, add A; response: replace in F, set E"
        self.assertEqual(filter_.describe(Exchange(facts(), [])), words)
        self.assertEqual(repr(filter_), f"<HeaderFilter {words}>")
        self.assertEqual(made({}).describe(Exchange(facts(), [])), "changes nothing")


class SettingsTests(unittest.TestCase):
    """What cannot be is refused where it is written."""

    def refused(self, settings: dict[str, Any]) -> tuple[tuple[Any, ...], str]:
        error = self.assertRaises(ValidationError, HeaderSettings.model_validate, settings)
        (problem,) = error.errors()
        return problem["loc"], problem["msg"]

    def test_managed_names(self) -> None:
        """Framing and connection fields cannot be touched, in either direction."""
        for name in ("Content-Length", "transfer-encoding", "Connection", "TE", "Upgrade", "Keep-Alive", "Trailer"):
            for steps in ({"set": {name: "x"}}, {"add": {name: "x"}}, {"remove": [name]}, {"rename": {"A": name}}):
                for direction in ("request", "response"):
                    _, message = self.refused({direction: steps})
                    self.assertIn("belongs to the connection", message)

    def test_host(self) -> None:
        """A request keeps exactly one Host."""
        for steps in (
            {"add": {"Host": "x"}},
            {"remove": ["host"]},
            {"rename": {"Host": "A"}},
            {"rename": {"A": "HOST"}},
        ):
            self.assertIn("exactly one Host", self.refused({"request": steps})[1])

    def test_places(self) -> None:
        """The error stands at the very item."""
        self.assertEqual(self.refused({"request": {"set": {"A": "x\ny"}}})[0], ("request", "set", "A"))
        self.assertEqual(self.refused({"request": {"add": {"A": ["x", "{"]}}})[0], ("request", "add", "A", 1))
        self.assertEqual(self.refused({"response": {"remove": ["A", "b c"]}})[0], ("response", "remove", 1))
        self.assertEqual(self.refused({"request": {"set": {"A": True}}})[0], ("request", "set", "A"))
        self.assertEqual(self.refused({"request": {"add": {"A": []}}})[0], ("request", "add", "A"))
        self.assertEqual(self.refused({"request": {"sett": {}}})[0], ("request", "sett"))
        self.assertEqual(self.refused({"request": {"remove": ["*"]}})[0], ("request", "remove", 0))

    def test_schema(self) -> None:
        """The settings have a JSON Schema, every field described."""
        schema = HeaderSettings.model_json_schema()
        for model in schema["$defs"].values():
            for name, field in model["properties"].items():
                self.assertIn("description", field, name)
