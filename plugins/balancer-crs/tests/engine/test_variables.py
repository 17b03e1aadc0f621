from __future__ import annotations

from balancer_crs.engine.bodies import read_json, read_xml
from balancer_crs.engine.messages import Request, Response
from balancer_crs.engine.multipart import read_multipart
from balancer_crs.engine.variables import Facts, Targets, label, without
from balancer_crs.lang.model import Where
from balancer_crs.lang.variables import parse_variables
from twisted.trial.unittest import TestCase


def facts(target: bytes = b"/", *headers: tuple[bytes, bytes], method: bytes = b"GET", **how: object) -> Facts:
    return Facts(Request(method, target, b"HTTP/1.1", headers, unique_id="u"), b"&", 1000, lambda: 1_000_000_000.0)


def look(found: Facts, variables: str) -> list[tuple[str, bytes]]:
    wanted = tuple(parse_variables(variables, lambda index: Where("f", index)))
    return [(label(target), target[2]) for target in Targets(wanted).gather(found)]


class UriTests(TestCase):
    def test_parts(self) -> None:
        """The target and its parts; the path is decoded once, after it was cut."""
        found = facts(b"/a%20b/c%3fd.php?x=%41")
        for name, expected in (
            ("REQUEST_METHOD", b"GET"),
            ("REQUEST_LINE", b"GET /a%20b/c%3fd.php?x=%41 HTTP/1.1"),
            ("REQUEST_URI", b"/a b/c?d.php?x=A"),
            ("REQUEST_URI_RAW", b"/a%20b/c%3fd.php?x=%41"),
            ("REQUEST_FILENAME", b"/a b/c?d.php"),
            ("REQUEST_BASENAME", b"c?d.php"),
            ("QUERY_STRING", b"x=%41"),
            ("REQUEST_PROTOCOL", b"HTTP/1.1"),
            ("REMOTE_ADDR", b"127.0.0.1"),
            ("UNIQUE_ID", b"u"),
            ("TIME_EPOCH", b"1000000000"),
            ("DURATION", b"0"),
        ):
            self.assertEqual(look(found, name), [(name, expected)], name)

    def test_absolute(self) -> None:
        """Of an absolute target only the path counts; the raw one is whole."""
        found = facts(b"http://h.example:80/p?q=1")
        self.assertEqual(
            look(found, "REQUEST_URI|REQUEST_FILENAME"), [("REQUEST_URI", b"/p?q=1"), ("REQUEST_FILENAME", b"/p")]
        )
        self.assertEqual(look(found, "REQUEST_URI_RAW"), [("REQUEST_URI_RAW", b"http://h.example:80/p?q=1")])

    def test_no_query(self) -> None:
        """What is not there is not looked at; the name of a directory is empty."""
        self.assertEqual(look(facts(), "QUERY_STRING|REQUEST_BODY|RESPONSE_BODY"), [])
        self.assertEqual(look(facts(), "REQUEST_BASENAME"), [("REQUEST_BASENAME", b"")])


class CollectionTests(TestCase):
    def setUp(self) -> None:
        self.facts = facts(
            b"/?a=1&B=2&a=3", (b"Host", b"h:80"), (b"Cookie", b"c=4; d=5"), (b"X-Y", b"z"), (b"x-y", b"w")
        )

    def test_members(self) -> None:
        """All members, one by its name in capitals or not, some by an expression, all but some."""
        for variables, expected in (
            ("ARGS", [("ARGS:a", b"1"), ("ARGS:B", b"2"), ("ARGS:a", b"3")]),
            ("ARGS:b", [("ARGS:B", b"2")]),
            ("ARGS:/^A$/", [("ARGS:a", b"1"), ("ARGS:a", b"3")]),
            ("ARGS|!ARGS:A", [("ARGS:B", b"2")]),
            ("ARGS|!ARGS:/^[ab]/", []),
            ("ARGS|REQUEST_COOKIES|!ARGS", [("REQUEST_COOKIES:c", b"4"), ("REQUEST_COOKIES:d", b"5")]),
            ("ARGS_NAMES", [("ARGS_NAMES:a", b"a"), ("ARGS_NAMES:B", b"B"), ("ARGS_NAMES:a", b"a")]),
            ("REQUEST_COOKIES_NAMES:d", [("REQUEST_COOKIES_NAMES:d", b"d")]),
            ("REQUEST_HEADERS:X-y", [("REQUEST_HEADERS:X-Y", b"z"), ("REQUEST_HEADERS:x-y", b"w")]),
            ("ARGS_COMBINED_SIZE", [("ARGS_COMBINED_SIZE", b"6")]),
            ("SERVER_NAME", [("SERVER_NAME", b"h")]),
        ):
            self.assertEqual(look(self.facts, variables), expected, variables)

    def test_counts(self) -> None:
        """How many there are."""
        for variables, expected in (
            ("&ARGS", b"3"),
            ("&ARGS:a", b"2"),
            ("&REQUEST_HEADERS:none", b"0"),
            ("&TX:none", b"0"),
            ("&QUERY_STRING", b"1"),
            ("&XML", b"0"),
        ):
            self.assertEqual([value for _, value in look(self.facts, variables)], [expected], variables)

    def test_written(self) -> None:
        """What rules write, also by the beginning of its name."""
        self.facts.tx.update({b"score_a": b"1", b"score_b": b"2", b"x": b"3"})
        self.assertEqual(look(self.facts, "TX:X"), [("TX:x", b"3")])
        self.assertEqual(look(self.facts, "TX:/^SCORE_/"), [("TX:score_a", b"1"), ("TX:score_b", b"2")])
        self.assertEqual(look(self.facts, "TX:/_a$/"), [("TX:score_a", b"1")])

    def test_removed(self) -> None:
        """What a rule takes away from another's targets."""
        targets = Targets(tuple(parse_variables("ARGS|REQUEST_COOKIES", lambda index: Where("f", index)))).gather(
            self.facts
        )
        for variables, left in (("ARGS", 2), ("ARGS:a", 3), ("REQUEST_COOKIES:/^[cd]$/", 3), ("FILES", 5)):
            removed = parse_variables(variables, lambda index: Where("f", index))
            self.assertEqual(len(without(targets, removed)), left, variables)

    def test_macros(self) -> None:
        """A macro is the first value of its name."""
        self.facts.tx[b"a"] = b"t"
        for name, key, expected in (
            ("TX", b"a", b"t"),
            ("ARGS", b"a", b"1"),
            ("REQUEST_METHOD", None, b"GET"),
            ("ARGS", None, b"1"),
            ("ARGS", b"none", None),
            ("TX", b"none", None),
        ):
            self.assertEqual(self.facts.first(name, key), expected, name)


class BodyTests(TestCase):
    def test_arguments(self) -> None:
        """Those of the body come after those of the query."""
        found = facts(b"/?a=1")
        found.add_body(read_json(b'{"b": 2}'))
        self.assertEqual(look(found, "ARGS"), [("ARGS:a", b"1"), ("ARGS:json.b", b"2")])
        self.assertEqual(
            look(found, "ARGS_POST|ARGS_GET_NAMES"), [("ARGS_POST:json.b", b"2"), ("ARGS_GET_NAMES:a", b"a")]
        )

    def test_too_many(self) -> None:
        """Arguments beyond the limit are left out, and noted."""
        request = Request(b"GET", b"/?a&b&c")
        found = Facts(request, b"&", 2, lambda: 0.0)
        self.assertTrue(found.too_many_args)
        self.assertEqual(len(look(found, "ARGS")), 2)

    def test_xml(self) -> None:
        """By paths."""
        found = facts()
        self.assertEqual(look(found, "XML:/*"), [])
        found.add_body(read_xml(b'<a b="1">t</a>'))
        self.assertEqual([value for _, value in look(found, "XML:/*|XML://@*|&XML:/*")], [b"t", b"1", b"1"])

    def test_files(self) -> None:
        """Of files, names and sizes, and the heads of all parts."""
        text = b'--B\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n123\r\n--B--\r\n'
        found = facts()
        found.add_body(read_multipart(text, b"multipart/form-data; boundary=B"))
        for variables, expected in (
            ("FILES", [("FILES:f", b"x")]),
            ("FILES_NAMES", [("FILES_NAMES:f", b"f")]),
            ("FILES_SIZES", [("FILES_SIZES:f", b"3")]),
            ("FILES_COMBINED_SIZE", [("FILES_COMBINED_SIZE", b"3")]),
            ("MULTIPART_STRICT_ERROR", [("MULTIPART_STRICT_ERROR", b"0")]),
        ):
            self.assertEqual(look(found, variables), expected, variables)
        self.assertEqual(len(look(found, "MULTIPART_PART_HEADERS:f")), 1)

    def test_response(self) -> None:
        """Status, headers, type."""
        found = facts()
        found.add_response(Response(404, ((b"Content-Type", b"text/html; charset=x"),)))
        self.assertEqual(
            [value for _, value in look(found, "RESPONSE_STATUS|RESPONSE_HEADERS:content-type|RESPONSE_CONTENT_TYPE")],
            [b"404", b"text/html; charset=x", b"text/html"],
        )
