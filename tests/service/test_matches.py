"""Tests of :mod:`balancer.service.matches`."""

from __future__ import annotations

import random
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from balancer.service.explaining import Sample, explain
from tests.service.making import built_in, problems_in

_TEXT = """\
matches:
  phones: {user_agent: mobile, not: {named: desktop-wanted}}
  desktop-wanted: {cookies: {view: desktop}}
  both: {named: [phones, office]}
  office: {client: 10.0.0.0/8}
listeners:
  web:
    bind: 127.0.0.1:1
    routes:
      - {name: both, match: {named: both, path: /a/**}, pool: p}
      - {name: any, match: {any: [{named: office}, {path: /x}]}, pool: p}
      - {name: phones, match: {named: phones}, pool: p}
      - {name: rest, pool: p}
pools: {p: {servers: ["127.0.0.1:1"]}}
"""
_PHONE = ("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148 Safari/604.1")


class MatchesTests(SynchronousTestCase):
    def folder(self) -> Path:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        return folder

    def test_named(self) -> None:
        """Names stand for their conditions, at any depth, also in other names."""
        snapshot = built_in(self.folder(), _TEXT)
        for path, client, headers, route in (
            ("/a/b", "10.1.1.1", [_PHONE], "both"),
            ("/a/b", "192.0.2.1", [_PHONE], "phones"),
            ("/a/b", "10.1.1.1", [], "any"),
            ("/x", "192.0.2.1", [], "any"),
            ("/", "192.0.2.1", [_PHONE, ("Cookie", "view=desktop")], "rest"),
        ):
            found = explain(snapshot, Sample(path, headers=headers, client_ip=client), random.random)
            self.assertEqual(found.route, route, (path, client, headers, found.rejected))

    def test_wrong(self) -> None:
        """Names that do not exist, that are made of themselves, and matchers that cannot be: each at its place."""
        for old, new, expected in (
            (
                "{named: phones}, pool",
                "{named: phoness}, pool",
                ":12:39: listeners.web.routes[2].match.named: there is no match 'phoness' under 'matches'; did you mean 'phones'?",
            ),
            ("[{named: office}", "[{named: offices}", "there is no match 'offices'"),
            (
                "{named: phones}, pool",
                "{flag: {x: 'on'}}, pool",
                ":12:32: listeners.web.routes[2].match.flag: expected a source of feature flags in 'flags' at the top, there is none",
            ),
            (
                "office: {client: 10.0.0.0/8}",
                "office: {not: {any: [{named: both}]}}",
                "the match 'both' is made of itself",
            ),
            (
                "office: {client",
                "office: {time: {days: fun}, client",
                "matches.office.time.days: expected days such as 'mon'",
            ),
        ):
            problems = problems_in(self.folder(), _TEXT.replace(old, new))
            self.assertTrue(any(expected in problem for problem in problems), problems)
