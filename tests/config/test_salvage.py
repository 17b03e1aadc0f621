"""Tests for :mod:`balancer.config.salvage`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.reading import read_document_text
from balancer.config.salvage import Remainder, remainder
from balancer.config.schema import Config
from tests.config.samples import Samples

_GOOD = """\
listeners:
  web:
    bind: 127.0.0.1:80
    routes:
      - {match: {path: /a}, pool: web}
pools:
  web: {servers: ['127.0.0.1:81']}
"""


class RemainderTests(SynchronousTestCase):
    def left(self, text: str) -> tuple[Config, Remainder]:
        document = read_document_text(text, "b.yaml", "", {})
        found = remainder(document, {"registry": Samples(), "directory": ""})
        assert found is not None
        return found

    def data(self, text: str) -> Any:
        return self.left(text)[1].data

    def test_nothing_wrong(self) -> None:
        """What is valid stays as it is."""
        self.assertEqual(self.data(_GOOD), read_document_text(_GOOD, "b.yaml", "", {}).data)

    def test_settings(self) -> None:
        """A setting that is wrong goes alone."""
        text = _GOOD + "    timeouts: {connect: soon, idle: 5s}\n"
        text = text.replace("{servers: ['127.0.0.1:81']}", "\n    servers: ['127.0.0.1:81']")
        self.assertEqual(self.data(text)["pools"]["web"]["timeouts"], {"idle": "5s"})

    def test_pieces(self) -> None:
        """Of what means something else without a part of it nothing is left; the rest of the route is."""
        text = _GOOD.replace("path: /a}", "path: /a, method: get}").replace("pool: web}", "redirect: {to: '', x: 1}}")
        self.assertEqual(self.data(text)["listeners"]["web"]["routes"], [{}])

    def test_places(self) -> None:
        """Problems in what is left have the places of the file, however many entries before them are gone."""
        text = _GOOD.replace("      - {match", "      - 1\n      - {poool: x, pool: web}\n      - 2\n      - {match")
        config, left = self.left(text)
        self.assertEqual(len(left.data["listeners"]["web"]["routes"]), 2)
        problem = config.problem(("listeners", "web", "routes", 1, "match"), "oh")
        self.assertEqual(str(problem), "b.yaml:8:10: listeners.web.routes[3].match: oh")

    def test_stand_ins(self) -> None:
        """Something stands in for what nothing can be built without, so that what is below it can be."""
        for text in (_GOOD.replace("127.0.0.1:80\n", "nowhere\n"), _GOOD.replace("    bind: 127.0.0.1:80\n", "")):
            self.assertEqual(len(self.left(text)[0].listeners["web"].routes), 1)
        for servers in ("[]", "[nowhere]", "5"):
            text = _GOOD.replace("['127.0.0.1:81']", servers) + "  b: {servers: ['127.0.0.1:82']}\n"
            self.assertEqual(list(self.left(text)[0].pools), ["web", "b"])
        for listeners in ("listeners: {}\n", "listeners: 5\n", "", "listeners: {web: 5}\n"):
            self.assertEqual(list(self.left(listeners + _GOOD[_GOOD.index("pools") :])[0].pools), ["web"])

    def test_nothing_right(self) -> None:
        """Where nothing is right, nothing but what stands in is left."""
        self.assertEqual(list(self.data("a: 1\n")), ["listeners"])
