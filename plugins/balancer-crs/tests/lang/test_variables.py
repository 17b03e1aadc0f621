"""Tests of lists of variables."""

from __future__ import annotations

from balancer_crs.lang.errors import RuleError
from balancer_crs.lang.model import Variable, Where
from balancer_crs.lang.variables import parse_variable, parse_variables
from twisted.trial.unittest import SynchronousTestCase


def _where(index: int) -> Where:
    return Where("f", index)


def parse(text: str, *, commas: bool = False) -> list[Variable]:
    return list(parse_variables(text, _where, commas=commas))


class VariableTests(SynchronousTestCase):
    def test_list(self) -> None:
        """Names in any case, members, counts, exclusions, expressions."""
        self.assertEqual(
            parse("args|!ARGS:note|&REQUEST_HEADERS:Host|REQUEST_COOKIES:/^a|b$/|REQUEST_URI"),
            [
                Variable("ARGS"),
                Variable("ARGS", "note", exclude=True),
                Variable("REQUEST_HEADERS", "Host", count=True),
                Variable("REQUEST_COOKIES", pattern="^a|b$"),
                Variable("REQUEST_URI"),
            ],
        )

    def test_quoted(self) -> None:
        """A member in quotes may hold a bar; an expression in quotes is one."""
        self.assertEqual(parse("ARGS:'a|b'|TX:'/x|y/'"), [Variable("ARGS", "a|b"), Variable("TX", pattern="x|y")])

    def test_escaped_slash(self) -> None:
        """An escaped slash does not end an expression; a slash behind two backslashes does."""
        self.assertEqual(parse(r"ARGS:/a\/b/"), [Variable("ARGS", pattern=r"a\/b")])
        self.assertEqual(parse("ARGS:/a\\\\/|FILES"), [Variable("ARGS", pattern="a\\\\"), Variable("FILES")])

    def test_paths_into_documents(self) -> None:
        """What follows XML: is a path, slashes or not."""
        self.assertEqual(parse("XML:/*|XML://@*"), [Variable("XML", "/*"), Variable("XML", "//@*")])

    def test_commas(self) -> None:
        """Updates may separate variables by commas; a comma within a name stays."""
        self.assertEqual(
            parse("!ARGS:a,!ARGS:/x{1,2}/,REQUEST_URI", commas=True),
            [
                Variable("ARGS", "a", exclude=True),
                Variable("ARGS", pattern="x{1,2}", exclude=True),
                Variable("REQUEST_URI"),
            ],
        )
        self.assertEqual(parse("ARGS:a,b", commas=True), [Variable("ARGS", "a,b")])

    def test_text(self) -> None:
        """A variable is written as it was read."""
        for text in ("ARGS", "!ARGS:a", "&TX:/a|b/", "XML:/*"):
            self.assertEqual(str(parse_variable(text, _where)), text)

    def test_refused(self) -> None:
        """What is unknown is named with the nearest known name, at its place."""
        for text, index, reason in (
            ("ARGS|REQUEST_HEADER:x", 5, "unknown variable REQUEST_HEADER; did you mean REQUEST_HEADERS?"),
            ("PERF_ALL", 0, "PERF_ALL is not supported: times"),
            ("ARGS|", 4, "expected a variable"),
            ("", 0, "expected a variable"),
            ("!&ARGS", 0, "expected one ! or one &"),
            ("REQUEST_URI:x", 11, "REQUEST_URI has no members"),
            ("ARGS:", 4, "expected the name of a member"),
            ("ARGS:/a", 5, "never closed"),
            ("ARGS:'a", 5, "never closed"),
            ("ARGS:/(/", 5, "expected an RE2 expression"),
            ("ARGS:/(?=a)/", 5, "expected an RE2 expression"),
            ("ARGS:'a'b", 8, "expected | between"),
            ("ARGS foo", 5, "expected | between"),
        ):
            with self.assertRaises(RuleError) as caught:
                parse(text)
            self.assertIn(reason, str(caught.exception))
            self.assertEqual(caught.exception.where.line, index, text)
        with self.assertRaisesRegex(RuleError, "expected one variable"):
            parse_variable("ARGS|FILES", _where)
