"""Tests of :mod:`balancer.routing.matchers.agent`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.address import Peer
from balancer.model.facts import RequestFacts
from balancer.routing.matchers.agent import USER_AGENT, kind_of

_SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1"
_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0"
AGENTS = {
    "mobile": [
        f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) {_SAFARI}",
        f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {_CHROME} Mobile Safari/537.36",
        "Mozilla/5.0 (Android 14; Mobile; rv:120.0) Gecko/120.0 Firefox/120.0",
        "Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/52.0 Mobile Safari/537.36 Edge/15.15063",
        "Opera/9.80 (J2ME/MIDP; Opera Mini/9.80; U; en) Presto/2.5.25 Version/10.54 Mobile",
    ],
    "tablet": [
        f"Mozilla/5.0 (iPad; CPU OS 12_2 like Mac OS X) {_SAFARI}",
        f"Mozilla/5.0 (Linux; Android 12; SM-X906C) {_CHROME} Safari/537.36",
        "Mozilla/5.0 (Android 13; Tablet; rv:120.0) Gecko/120.0 Firefox/120.0",
        "Mozilla/5.0 (Linux; Android 4.4.3; KFTHWI Build/KTU84M) AppleWebKit/537.36 (KHTML, like Gecko) Silk/47.1.79 like Chrome/47.0.2526.80 Safari/537.36",
    ],
    "desktop": [
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME} Safari/537.36",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 14.0; rv:120.0) Gecko/20100101 Firefox/120.0",
        "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0",
        f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {_CHROME} Safari/537.36",
        "Mozilla/5.0 (X11; FreeBSD amd64; rv:120.0) Gecko/20100101 Firefox/120.0",
    ],
    "tv": [
        "Mozilla/5.0 (SMART-TV; Linux; Tizen 5.0) AppleWebKit/538.1 (KHTML, like Gecko) Version/5.0 TV Safari/538.1"
    ],
    "bot": [
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        f"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) {_CHROME} Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.0; +https://openai.com/gptbot)",
        "Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36 (compatible; Bytespider; https://zhanzhang.toutiao.com/)",
        "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    ],
    "other": ["", "curl/8.0", "python-requests/2.31", "\x00\xff" * 900],
}


class UserAgentTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        for kind, agents in AGENTS.items():
            for agent in agents:
                self.assertEqual(kind_of(agent), kind, agent)

    def test_matches(self) -> None:
        """One of the kinds; no field is like an empty one."""
        peer = Peer("192.0.2.1", 1)
        matcher = USER_AGENT.build(USER_AGENT.settings.model_validate({"kinds": ["mobile", "tablet"]}))
        phone = [(b"User-Agent", AGENTS["mobile"][0].encode())]
        self.assertTrue(matcher.matches(RequestFacts("GET", "/", phone, peer, peer)))
        self.assertFalse(matcher.matches(RequestFacts("GET", "/", [], peer, peer)))
        self.assertEqual(matcher.describe(), "User-Agent is mobile or tablet")
        with self.assertRaises(ValueError):
            USER_AGENT.settings.model_validate({"kinds": "phone"})
