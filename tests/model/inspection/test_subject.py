"""Tests for :mod:`balancer.model.inspection.subject`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer import testing
from balancer.model.inspection.subject import Subject


class SubjectTests(SynchronousTestCase):
    def test_body(self) -> None:
        """The body is there as bytes and as what it says."""
        subject = Subject(testing.facts("/a", "POST"), "shop")
        self.assertEqual((subject.body, subject.body_whole, subject.route), (b"", True, "shop"))
        subject.body_is(b"abc", False)
        self.assertEqual((subject.body, subject.body_whole, subject.inputs.fields[0].text), (b"abc", False, "abc"))
        self.assertEqual(repr(subject), "<Subject POST /a status=0>")
