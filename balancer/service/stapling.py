"""OCSP stapling: the answers of authorities are fetched in the background, and go with their certificates in handshakes.

::

    due ──ask──> answered: stapled, due again after half of its time
           └──> no answer, or none to be believed: the last one stays while it is good; due again in 1 min, 2 min … 1 h

No handshake waits for any of this. An authority that says "revoked" is not passed on to clients; the log says so, loudly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.logger import Logger
from twisted.python.failure import Failure

from balancer.errors import BalancerError
from balancer.net.timers import Entry, Wheel
from balancer.tls.identity import Identity
from balancer.tls.ocsp import NotBelievedError, Question, Staple

__all__ = ["AT_ONCE", "FIRST_WAIT", "LONGEST_WAIT", "SOONEST", "Stapler"]

AT_ONCE = 4
"""Questions that are asked at the same time."""
FIRST_WAIT = 60.0
LONGEST_WAIT = 3600.0
"""Seconds until a question is asked again that came to nothing: twice as many each time."""
SOONEST = 300.0
"""Seconds before which a question that was answered is not asked again, whatever the answer says."""

_LOOK = 1.0

_log = Logger()

Post = Callable[[str, bytes], Deferred[bytes]]


class _Asked:
    """One certificate, and how far we are with it."""

    __slots__ = ("asking", "due", "failures", "name", "question", "said", "staple")

    def __init__(self, name: str, question: Question, due: float) -> None:
        self.name = name
        self.question = question
        self.due = due
        self.staple: Staple | None = None
        self.failures = 0
        self.said = ""
        self.asking: Deferred[Any] | None = None


class Stapler:
    """Keeps the answers.

    Args:
        wheel: the shared timer.
        post: posts a question to a URL and returns the answer; fails after a while.
        changed: told all answers that are good, by the fingerprint of their certificate, when there is another or one less.
        wall: the time, in seconds since the epoch.
        draw: a float in [0, 1), so that not everybody asks at the same time.
    """

    def __init__(
        self,
        wheel: Wheel,
        post: Post,
        changed: Callable[[dict[str, bytes]], Any],
        wall: Callable[[], float] = time.time,
        draw: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._wheel = wheel
        self._post = post
        self._changed = changed
        self._wall = wall
        self._draw = draw
        self._asked: dict[str, _Asked] = {}
        self._turns = DeferredSemaphore(AT_ONCE)
        self._left: dict[str, bytes] = {}
        self._timer: Entry | None = None

    def inherit(self, answers: Mapping[str, bytes]) -> None:
        """Believe these ``answers`` (DER), by the fingerprint of their certificate, as if they had just been fetched, where they are good."""
        self._left = dict(answers)

    def _inherited(self, asked: _Asked, fingerprint: str) -> bool:
        """Take what was left for ``asked``; return whether there was something that can be believed."""
        data = self._left.pop(fingerprint, None)
        if data is None:
            return False
        now = self._wall()
        try:
            asked.staple = staple = asked.question.verified(data, now)
        except NotBelievedError:
            return False  # it will be asked for
        asked.due = max(now, staple.renewal) + self._draw() * SOONEST
        return True

    def use(self, identities: Iterable[Identity]) -> None:
        """Keep answers about ``identities`` from now on; those already there stay."""
        before, self._asked = self._asked, {}
        inherited = False
        for identity in identities:
            fingerprint = identity.fingerprint
            known = before.pop(fingerprint, None) or self._asked.get(fingerprint)
            if known is None:
                question = Question.of(identity)
                if question is None:
                    continue
                known = _Asked(identity.name, question, self._wall())
                inherited |= self._inherited(known, fingerprint)
            self._asked[fingerprint] = known
        for gone in before.values():
            if gone.asking is not None:
                gone.asking.cancel()
        if inherited:
            self._changed(self.staples)
        if self._asked and self._timer is None:
            self._timer = self._wheel.schedule(0.0, self._look)
        elif not self._asked:
            self.stop()

    def stop(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for asked in self._asked.values():
            if asked.asking is not None:
                asked.asking.cancel()

    @property
    def staples(self) -> dict[str, bytes]:
        """The answers that are good now."""
        return {key: asked.staple.der for key, asked in self._asked.items() if asked.staple is not None}

    def _look(self) -> None:
        """Ask what is due, and let go of answers that are out of date."""
        now = self._wall()
        gone = False
        for asked in self._asked.values():
            if asked.staple is not None and asked.staple.until <= now:
                asked.staple, gone = None, True
                _log.error("the OCSP answer about {name} is out of date: it goes without", name=asked.name)
            if asked.due <= now and asked.asking is None:
                self._ask(asked)
        if gone:
            self._changed(self.staples)
        if self._timer is not None:
            self._timer = self._wheel.schedule(_LOOK, self._look)

    def _ask(self, asked: _Asked) -> None:
        question = asked.question
        asking = asked.asking = self._turns.run(self._post, question.url, question.body)
        asking.addCallback(lambda data: question.verified(data, self._wall()))
        asking.addCallbacks(self._answered, self._failed, callbackArgs=(asked,), errbackArgs=(asked,))

    def _answered(self, staple: Staple, asked: _Asked) -> None:
        now = self._wall()
        asked.asking = None
        if asked.failures:
            _log.info("the authority of {name} answers again", name=asked.name)
        asked.failures, asked.said = 0, ""
        asked.due = max(now + SOONEST, staple.renewal) + self._draw() * SOONEST
        fresh = asked.staple is None or asked.staple.der != staple.der
        asked.staple = staple
        if fresh and asked in self._asked.values():
            self._changed(self.staples)

    def _failed(self, failure: Failure, asked: _Asked) -> None:
        asked.asking = None
        if asked not in self._asked.values():  # nobody wants it any more
            return
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(asked.failures, 10))
        asked.failures += 1
        asked.due = self._wall() + wait * (1.0 + self._draw() / 10)
        error = failure.value
        text = (
            str(error) if isinstance(error, (NotBelievedError, BalancerError)) else f"{type(error).__name__}: {error}"
        )
        if isinstance(error, NotBelievedError) and error.revoked and asked.staple is not None:
            asked.staple = None  # that it was good an hour ago is true, and of no use to anybody
            self._changed(self.staples)
        if text != asked.said:
            asked.said = text
            _log.error(
                "no OCSP answer about {name} from {url}: {text}", name=asked.name, url=asked.question.url, text=text
            )
