"""Tests of conditions: what becomes of a match."""

from __future__ import annotations

from twisted.trial import unittest

from balancer.routing.matchers.connection import VersionMatcher
from tests.routing.making import conditions, facts


class ConditionsTests(unittest.TestCase):
    """Everything but host, path and method becomes predicates."""

    def test_predicates(self) -> None:
        """Host, path and method are not among the predicates; each field has its own."""
        made = conditions(
            host="a.example",
            path="/x",
            method="GET",
            scheme="https",
            client="10.0.0.0/8",
            headers={"X-A": "1", "X-B": {"prefix": "p"}},
            query={"q": "1"},
            cookies={"c": {"present": True}},
            not_={"client": "10.1.0.0/16"},
            others=(VersionMatcher("1.1"),),
        )
        self.assertEqual(
            [part.describe() for part in made.predicates()],
            [
                "scheme is https",
                "client in 10.0.0.0/8",
                "header x-a is '1'",
                "header x-b: prefix 'p'",
                "query q is '1'",
                "cookie c: present True",
                "not (client in 10.1.0.0/16)",
                "HTTP version is 1.1",
            ],
        )

    def test_all_is_joined(self) -> None:
        """The parts of ``all`` stand beside the rest, hosts and paths among them as predicates."""
        made = conditions(all=[{"headers": {"a": "1"}}, {"path": "/x/**", "method": "GET", "all": [{"host": "*.b"}]}])
        self.assertEqual(
            [part.describe() for part in made.predicates()],
            ["header a is '1'", "path is /x/**", "method is GET", "host is *.b"],
        )

    def test_any_with_hosts_and_paths(self) -> None:
        """Hosts and paths inside ``any`` and ``not`` hold as predicates."""
        (part,) = conditions(any=[{"host": "a.example", "path": "/x/**"}, {"path": "/{y}/z"}]).predicates()
        for host, path, expected in (
            ("a.example", "/x/1", True),
            ("b.example", "/x/1", False),
            ("b.example", "/q/z", True),
        ):
            self.assertEqual(part.matches(facts(path, host=host)), expected, (host, path))
        self.assertEqual(part.describe(), "(host is a.example and path is /x/**) or path is /{y}/z")

    def test_empty(self) -> None:
        """No conditions hold for everything; as a part too."""
        self.assertEqual(conditions().predicates(), ())
        self.assertTrue(conditions().matcher().matches(facts()))
