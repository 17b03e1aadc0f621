"""Tests of the send_expect probe."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IProbe
from balancer.pools.probes.conversation import ProbeError
from balancer.pools.probes.send_expect import ANSWER_LIMIT, SendExpect, SendExpectSettings
from tests.pools.probes.talking import Talk

SMTP = {
    "steps": [
        {"expect": {"regex": "(?m)^220 "}},
        {"send": "EHLO balancer\r\n", "expect": {"regex": "(?m)^250 .*\r\n"}},
        {"send": "QUIT\r\n"},
    ]
}


def probe(**settings: Any) -> SendExpect:
    """A probe with these settings, checked as the configuration's are."""
    return SendExpect(SendExpectSettings.model_validate(settings))


class SendExpectTests(TestCase):
    """A small conversation."""

    def test_contract(self) -> None:
        """It is a probe."""
        verifyObject(IProbe, probe(expect="x"))

    def test_one_step(self) -> None:
        """PING, PONG."""
        talk = Talk(probe(send="PING\r\n", expect="+PONG"))
        self.assertEqual(talk.sent(), b"PING\r\n")
        talk.byte_by_byte(b"+PONG\r\n")
        self.assertEqual(self.successResultOf(talk.outcome), "as expected")
        self.assertEqual(talk.wire.closed, "closed")

    def test_greeting(self) -> None:
        """A server that speaks first is waited for."""
        talk = Talk(probe(expect={"regex": "^SSH-2"}))
        self.assertEqual(talk.sent(), b"")
        self.successResultOf(talk.say(b"SSH-2.0-x\r\n").outcome)

    def test_steps(self) -> None:
        """Each step waits for its answer, and the last word is sent before closing."""
        talk = Talk(probe(**SMTP))
        self.assertEqual(talk.sent(), b"")
        talk.say(b"220 mail.example ESMTP\r\n")
        self.assertEqual(talk.sent(), b"EHLO balancer\r\n")
        talk.byte_by_byte(b"250-SIZE\r\n250-8BITMIME\r\n")
        self.assertNoResult(talk.outcome)
        talk.say(b"250 HELP\r\n")
        self.assertEqual(talk.sent(), b"QUIT\r\n")
        self.assertEqual(self.successResultOf(talk.outcome), "as expected")

    def test_answers_at_once(self) -> None:
        """What was left of one answer counts for the next step."""
        talk = Talk(probe(steps=[{"send": "a", "expect": "1"}, {"send": "b", "expect": "2"}]))
        talk.say(b"0123")
        self.assertEqual(talk.sent(), b"ab")
        self.successResultOf(talk.outcome)

    def test_answer_is_not_used_twice(self) -> None:
        """What one step was given is no answer to the next."""
        talk = Talk(probe(steps=[{"send": "a", "expect": "OK"}, {"send": "b", "expect": "OK"}]))
        talk.say(b"OK")
        self.assertNoResult(talk.outcome)
        self.successResultOf(talk.say(b"OK").outcome)

    def test_any_bytes(self) -> None:
        """A character is its byte, in both directions."""
        talk = Talk(probe(send="\x00\xff\x10", expect="\xfe\x00"))
        self.assertEqual(talk.sent(), b"\x00\xff\x10")
        self.successResultOf(talk.say(b"..\xfe\x00..").outcome)
        self.successResultOf(Talk(probe(expect={"regex": "^\xfe+$"})).say(b"\xfe\xfe").outcome)

    def test_closed(self) -> None:
        """A server that closes before is not well; what it said is told."""
        talk = Talk(probe(**SMTP)).say(b"554 no\r\n").hang_up()
        error = self.failureResultOf(talk.outcome, ProbeError).value
        self.assertEqual(str(error), r"step 1: closed after b'554 no\r\n'")
        talk = Talk(probe(expect="x")).hang_up()
        self.assertEqual(str(self.failureResultOf(talk.outcome, ProbeError).value), "step 1: closed")

    def test_babble(self) -> None:
        """A server that talks without end is not listened to for ever."""
        talk = Talk(probe(expect="never"))
        talk.say(b"x" * ANSWER_LIMIT)
        self.assertNoResult(talk.outcome)
        error = self.failureResultOf(talk.say(b"x").outcome, ProbeError).value
        self.assertEqual(str(error), f"step 1: {ANSWER_LIMIT + 1} bytes without what was expected")
        self.assertEqual(talk.wire.closed, "aborted")

    def test_refused(self) -> None:
        """What makes no sense is an error that says what was expected."""
        for settings, words in (
            ({}, "'send' and 'expect', or 'steps'"),
            ({"send": "x", "steps": [{"expect": "y"}]}, "'send' and 'expect', or 'steps'"),
            ({"send": "x"}, "expected an 'expect'"),
            ({"steps": [{"send": "x"}]}, "expected an 'expect'"),
            ({"steps": [{}]}, "expected 'send', 'expect' or both"),
            ({"expect": ""}, "expected text, or {regex"),
            ({"expect": {}}, "expected text, or {regex"),
            ({"expect": {"regex": "a", "contains": "b"}}, "expected text, or {regex"),
            ({"expect": {"regex": "("}}, "RE2"),
            ({"expect": {"regex": "€"}}, "Latin-1"),
            ({"send": "€", "expect": "x"}, "Latin-1"),
        ):
            with self.assertRaises(ValidationError) as caught:
                SendExpectSettings.model_validate(settings)
            self.assertIn(words, str(caught.exception))

    def test_repr(self) -> None:
        """Operators see how many steps there are."""
        self.assertEqual(repr(probe(**SMTP)), "<SendExpect 3 steps>")
