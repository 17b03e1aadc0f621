r"""The ``send_expect`` probe: a small conversation in the server's own protocol, as settings, without running programs.

::

    probe: {send_expect: {send: "PING\r\n", expect: "+PONG"}}

    probe:
      send_expect:
        steps:
          - expect: {regex: "^220 "}
          - {send: "EHLO balancer\r\n", expect: {regex: "(?m)^250 "}}
          - send: "QUIT\r\n"

Text stands for its Latin-1 bytes, so that any byte can be written as ``"\xff"`` in double quotes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import re2
from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from twisted.internet.defer import Deferred
from zope.interface import implementer

from balancer.hooks.interfaces import IProbe, IServer
from balancer.hooks.settings import Regex, Settings
from balancer.model.units import counted
from balancer.pools.probes.conversation import Conversation, converse

__all__ = ["Expect", "SendExpect", "SendExpectSettings", "Step"]

ANSWER_LIMIT = 64 * 1024
"""Bytes that a server may answer to one step before what is expected must be among them."""


def _bytes(text: Any) -> Any:
    if isinstance(text, str):
        try:
            text.encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(r"expected Latin-1 characters, each standing for its byte, such as '\xff'") from None
    return text


Bytes = Annotated[str, BeforeValidator(_bytes)]


class Expect(Settings):
    """What must be found in the answer. Bare text is ``contains``."""

    contains: Bytes | None = Field(default=None, description="Bytes that are found.")
    regex: Annotated[Regex, BeforeValidator(_bytes)] | None = Field(
        default=None, description="RE2 expression that is found."
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Allow bare text."""
        return {"anyOf": [{"type": "string", "minLength": 1}, handler(schema)]}

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"contains": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one(self) -> Expect:
        if bool(self.contains) == (self.regex is not None):
            raise ValueError("expected text, or {regex: …}")
        return self


class Step(Settings):
    """Send something, then wait for something; either may be left out."""

    send: Bytes = Field(default="", description="Text to send, one byte a character.")
    expect: Expect | None = Field(default=None, description="What must come back: text, or {regex: …}.")

    @model_validator(mode="after")
    def _something(self) -> Step:
        if not self.send and self.expect is None:
            raise ValueError("expected 'send', 'expect' or both")
        return self


class SendExpectSettings(Settings):
    """Settings of ``send_expect``: one step, or several."""

    send: Bytes = Field(default="", description="Text to send, one byte a character.")
    expect: Expect | None = Field(default=None, description="What must come back: text, or {regex: …}.")
    steps: tuple[Step, ...] = Field(default=(), description="Several steps, one after another, instead.")

    @model_validator(mode="after")
    def _either(self) -> SendExpectSettings:
        single = bool(self.send) or self.expect is not None
        if single == bool(self.steps):
            raise ValueError("expected 'send' and 'expect', or 'steps'")
        if not any(step.expect for step in self.all_steps):
            raise ValueError("expected an 'expect': without one, nothing is known but that the server accepts ('tcp')")
        return self

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """The steps, however they were written."""
        return self.steps or (Step.model_construct(send=self.send, expect=self.expect),)


@implementer(IProbe)
class SendExpect:
    """Goes through the steps."""

    def __init__(self, settings: SendExpectSettings) -> None:
        self.steps = tuple((step.send.encode("latin-1"), _found(step.expect)) for step in settings.all_steps)

    def probe(self, connect: Callable[[Any], Deferred[Any]], server: IServer) -> Deferred[str]:
        """Fire with ``as expected``, or fail with what came instead."""
        return converse(connect, _Talk(self.steps))

    def __repr__(self) -> str:
        return f"<SendExpect {counted(len(self.steps), 'step')}>"


_End = Callable[[bytes], int]
"""Returns where in the answer what was expected ends, -1 if it is not there."""


def _found(expect: Expect | None) -> _End | None:
    if expect is None:
        return None
    if expect.regex is not None:
        search = _compiled(expect.regex).search

        def matched(data: bytes) -> int:
            match = search(data)
            return -1 if match is None else int(match.end())

        return matched
    assert expect.contains is not None
    wanted = expect.contains.encode("latin-1")

    def contained(data: bytes) -> int:
        at = data.find(wanted)
        return -1 if at < 0 else at + len(wanted)

    return contained


def _compiled(expression: str) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(expression.encode("latin-1"), options)


class _Talk(Conversation):
    """The steps, one after another; what is left of an answer counts for the next step."""

    def __init__(self, steps: tuple[tuple[bytes, _End | None], ...]) -> None:
        super().__init__()
        self._steps = steps
        self._at = 0
        self._answer = b""

    def connectionMade(self) -> None:
        self.transport.write(self._steps[0][0])
        self._go_on()

    def dataReceived(self, data: bytes) -> None:
        self._answer += data
        self._go_on()

    def _go_on(self) -> None:
        while self._at < len(self._steps):
            found = self._steps[self._at][1]
            if found is not None:
                end = found(self._answer)
                if end < 0:
                    if len(self._answer) > ANSWER_LIMIT:
                        self.failed(
                            f"step {self._at + 1}: {counted(len(self._answer), 'byte')} without what was expected"
                        )
                    return
                self._answer = self._answer[end:]
            self._at += 1
            if self._at < len(self._steps):
                self.transport.write(self._steps[self._at][0])
        self.succeeded("as expected")

    def connectionLost(self, reason: Any = None) -> None:
        shown = self._answer[:60]
        self.failed(f"step {self._at + 1}: closed after {shown!r}" if shown else f"step {self._at + 1}: closed")
