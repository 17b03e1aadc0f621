"""One exchange before the rules: told of it piece by piece, it says what matched and whether to interrupt.

::

    request_head ─▶ phase 1     request_body ─▶ phase 2     response_head ─▶ phase 3     response_body ─▶ phase 4
                       │                           │                            │                            │
                       └───────────────────────────┴──── interruption? ─────────┴────────────────────────────┘
    logging ─▶ phase 5, whatever came before; afterwards the exchange is over

A transaction belongs to one thread at a time.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from balancer_crs.engine import effects
from balancer_crs.engine.beginnings import completed_json
from balancer_crs.engine.bodies import Body, read_json, read_urlencoded, read_xml
from balancer_crs.engine.matches import Interruption, Match
from balancer_crs.engine.messages import Request, Response
from balancer_crs.engine.multipart import read_multipart
from balancer_crs.engine.operators import encode
from balancer_crs.engine.patterns import Captures, TimeLimitError
from balancer_crs.engine.plan import Link, Step
from balancer_crs.engine.scanner import Scanner
from balancer_crs.engine.variables import NAME_LISTS, Facts, Target, label, label_bytes, without
from balancer_crs.lang.model import Disruption, Reference, Rule, Text, Variable

if TYPE_CHECKING:
    from balancer_crs.engine.engine import Engine

_DIGITS = [b"%d" % number for number in range(10)]
_SNIPPET = 200
_WHOLE = ("", "URLENCODED", "JSON")
"""Body processors that leave ``REQUEST_BODY`` for rules to look at."""
_LOTS = 48
"""Values from which on those that can match are looked for a few at a time."""

_STATUS = {"deny": 403, "redirect": 302, "drop": 444}


class Transaction:
    """One exchange.

    Args:
        engine: whose rules are asked.
        request: the head of the request.

    Attributes:
        matches: of rules, in order, also of those that are not to be logged.
        interruption: what a rule wants done with the exchange; None: nothing.
        mode: ``On``, ``Off``, ``DetectionOnly``; rules may change it.
        times: seconds each phase took.
        audit: ``On``, ``Off``, ``RelevantOnly``; rules may change it.
    """

    def __init__(self, engine: Engine, request: Request) -> None:
        self._engine = engine
        settings = engine.settings
        if not request.unique_id:
            request = _named(request)
        self.facts = Facts(request, encode(settings.argument_separator), settings.arguments_limit, engine.clock)
        self.facts.tx.update(engine.plan.initial)
        self.matches: list[Match] = []
        self.interruption: Interruption | None = None
        self.mode: str = engine.mode
        self.audit: str = settings.audit_engine
        self.times: dict[int, float] = {}
        self.removed: frozenset[int] = frozenset()
        self.excluded: dict[int, tuple[Variable, ...]] = {}
        self.body_access = settings.request_body_access
        self.response_access = settings.response_body_access
        self.request_body_limit = settings.request_body_limit
        self.response_body_limit = settings.response_body_limit
        self.force_body = False
        self.scores: dict[str, int] = {}
        self._allowed: set[int] = set()
        self._body_processor = _processor(self.facts.header(b"content-type") or b"")
        self._scanner = Scanner(self.facts, engine.memo)
        self._fresh = False
        self._match: Match | None = None
        if self._body_processor:
            self.facts.texts["REQBODY_PROCESSOR"] = self._body_processor.encode()

    # What happens

    def request_head(self) -> Interruption | None:
        """Run the rules for the request's head."""
        return self._run(1)

    def request_body(self, body: bytes = b"", *, whole: bool = True) -> Interruption | None:
        """Run the rules for the whole request, with its body, which may be empty.

        Args:
            body: no transfer or content coding on it; longer than the limit, it is cut or refused, as the rules' settings say.
            whole: whether that is all of it. A beginning is no error, however it ends; ``INBOUND_DATA_ERROR`` is 1.
        """
        if self.interruption is None and self.mode != "Off":
            self._read_body(body, whole)
        return self._run(2) if self.interruption is None else self.interruption

    def response_head(self, response: Response) -> Interruption | None:
        """Run the rules for the response's head."""
        self.facts.add_response(response)
        return self._run(3)

    def wants_response_body(self) -> bool:
        """Return whether the rules look into a body of this response."""
        kind = self.facts.texts.get("RESPONSE_CONTENT_TYPE", b"").decode("latin-1").lower()
        return self.response_access and kind in self._engine.settings.response_body_mime_types

    def response_body(self, body: bytes = b"") -> Interruption | None:
        """Run the rules for the response's body; it is left out if they do not want it."""
        settings = self._engine.settings
        if self.wants_response_body():
            if len(body) > self.response_body_limit:
                self.facts.texts["OUTBOUND_DATA_ERROR"] = b"1"
                if settings.response_body_limit_action == "Reject" and self.mode == "On" and self.interruption is None:
                    self.interruption = Interruption("deny", 500, None, 0, "the response body is longer than allowed")
                    return self.interruption
                body = body[: self.response_body_limit]
            self.facts.texts["RESPONSE_BODY"] = body
        return self._run(4)

    def logging(self) -> None:
        """Run the rules of the log phase."""
        self._run(5)

    # Bodies

    def set_body_processor(self, name: str) -> None:
        """Read the body as a rule says, whatever its content type says."""
        self._body_processor = name
        self.facts.texts["REQBODY_PROCESSOR"] = name.encode()

    def _read_body(self, body: bytes, whole: bool) -> None:
        settings, texts = self._engine.settings, self.facts.texts
        texts["REQBODY_ERROR"] = texts["REQBODY_PROCESSOR_ERROR"] = texts["INBOUND_DATA_ERROR"] = b"0"
        if not self.body_access:
            return
        limit, action = self.request_body_limit, settings.request_body_limit_action
        if len(body) > limit:
            texts["INBOUND_DATA_ERROR"] = b"1"
            if action == "Reject" and self.mode == "On":
                self.interruption = Interruption("deny", 413, None, 0, "the request body is longer than allowed")
                return
            body = body[:limit]
        kind = self._body_processor
        if kind != "MULTIPART" and len(body) > settings.request_body_no_files_limit:
            texts["INBOUND_DATA_ERROR"] = b"1"
            if action == "Reject" and self.mode == "On":
                self.interruption = Interruption(
                    "deny", 413, None, 0, "the request body without files is longer than allowed"
                )
                return
            body = body[: settings.request_body_no_files_limit]
        read = self._parsed(kind, body if whole or kind != "JSON" else completed_json(body))
        if read is not None:
            self.facts.add_body(read)
            self.facts.forget(*NAME_LISTS)
        error = read.error if read is not None else ""
        if self.facts.too_many_args and not error:
            error = f"more than {settings.arguments_limit} arguments"
        if not whole:
            error = ""
            texts["INBOUND_DATA_ERROR"] = b"1"
            texts["MULTIPART_STRICT_ERROR"] = texts["MULTIPART_UNMATCHED_BOUNDARY"] = b"0"
        if error:
            texts["REQBODY_ERROR"] = texts["REQBODY_PROCESSOR_ERROR"] = b"1"
            message = (
                f"{kind or 'Request'} parsing error: {error}"
                if kind != "MULTIPART"
                else f"Multipart parsing error: {error}"
            )
            texts["REQBODY_ERROR_MSG"] = texts["REQBODY_PROCESSOR_ERROR_MSG"] = message.encode("utf-8", "replace")
        if body:
            texts["REQUEST_BODY_LENGTH"] = b"%d" % len(body)
            if kind in _WHOLE or self.force_body:
                texts["REQUEST_BODY"] = body

    def _parsed(self, kind: str, body: bytes) -> Body | None:
        settings = self._engine.settings
        if kind == "URLENCODED":
            return read_urlencoded(body, encode(settings.argument_separator))
        if kind == "MULTIPART":
            return read_multipart(body, self.facts.header(b"content-type") or b"", settings.upload_file_limit)
        if kind == "JSON":
            return read_json(body, settings.request_body_json_depth_limit)
        if kind == "XML" and body:
            return read_xml(body)
        return None

    # Rules

    def _run(self, phase: int) -> Interruption | None:
        if self.mode == "Off" or (self.interruption is not None and phase != 5):
            return self.interruption
        if phase in self._allowed and phase != 5:
            return None
        began = time.perf_counter()
        self._scanner = Scanner(self.facts, self._engine.memo)
        steps = self._engine.plan.phases[phase]
        at, count = 0, len(steps)
        possible = self._scanner.possible
        while at < count:
            step = steps[at]
            at += 1
            first = step.links[0]
            # Nearly all rules end here: 0.2 microseconds of asking, for 1.5 of a call that asks.
            if first.scan is not None and not possible(first):
                continue
            if step.rule.id in self.removed:
                continue
            if self._step(step):
                if step.next is not None:
                    at = step.next
                if self.interruption is not None and phase != 5:
                    break
                if phase in self._allowed and phase != 5:
                    break
        self.times[phase] = self.times.get(phase, 0.0) + time.perf_counter() - began
        return self.interruption

    def _step(self, step: Step) -> bool:
        """Look at one rule and its chain, and obey it if it matched."""
        self._fresh = True
        self._match = None
        self.facts.rule = step.rule
        for link in step.links:
            if not self._link(link, step.rule):
                return False
        self._matched(step.rule)
        return True

    def _link(self, link: Link, rule: Rule) -> bool:
        if link.targets is None:
            self._found(link, rule, None, None, ())
            return True
        found = self._scanner.gather(link.targets)
        if rule.id in self.excluded:
            found = without(found, self.excluded[rule.id])
        if not found:
            return False
        judge, negated, expand = link.judge.judge, link.negated, self.expand
        matched = False
        for target, value in self._values(link, rule, found):
            try:
                captures = judge(value, expand)
            except TimeLimitError:
                self.facts.texts["MSC_PCRE_LIMITS_EXCEEDED"] = b"1"
                continue
            if (captures is None) is negated:
                matched = True
                self._found(link, rule, target, value, captures or ())
        return matched

    def _values(self, link: Link, rule: Rule, found: list[Target]) -> Iterable[tuple[Target, bytes]]:
        """Return the targets with their values transformed."""
        pipeline = link.pipeline
        if link.rule.multi_match:
            return [(target, stage) for target in found for stage in pipeline.stages(target[2])]
        if not pipeline.steps and len(found) < _LOTS:
            return [(target, target[2]) for target in found]
        if len(found) >= 4 and rule.id not in self.excluded and link.targets is not None:
            changed = self._scanner.values(link.targets, pipeline)
            if changed is not None and len(changed) >= _LOTS and link.scan is not None and not link.precheck:
                return [(found[place], changed[place]) for place in self._scanner.narrowed(link, changed)]
            if changed is not None:
                return zip(found, changed, strict=True)
        apply = self._scanner.apply
        return [(target, apply(pipeline, target[2])) for target in found]

    def _found(self, link: Link, rule: Rule, target: Target | None, value: bytes | None, captures: Captures) -> None:
        """Note one match of one value, and do what the rule wants done for each."""
        facts, own = self.facts, link.rule
        if self._fresh:
            facts.matched, self._fresh = [], False
            self._match = Match(rule)
        match = self._match
        assert match is not None
        if target is not None and value is not None:
            facts.matched.append((label_bytes(target), value))
            match.target, match.value = label(target), value[:_SNIPPET]
            match.found = captures[0][:_SNIPPET] if captures else b""
        if own.capture and captures:
            for digit, group in zip(_DIGITS, captures, strict=False):
                facts.tx[digit] = group
            for digit in _DIGITS[len(captures) :]:
                facts.tx.pop(digit, None)
        if own.effects:
            effects.obey(self, own.effects, match)

    def _matched(self, rule: Rule) -> None:
        """Keep the match of a whole chain, and do what it wants done with the exchange."""
        match = self._match
        assert match is not None
        self.matches.append(match)
        for link in rule.links:
            if link.msg is not None:
                match.msg = self.text(link.msg)
            if link.logdata is not None:
                match.logdata = self.text(link.logdata)[: 2 * _SNIPPET]
        if rule.severity is not None and rule.severity < self.facts.highest_severity:
            self.facts.highest_severity = rule.severity
        disruption = rule.disruption
        if disruption.kind == "allow":
            if self.mode == "On":
                self._allow(disruption.scope, rule.phase)
        elif disruption.kind != "pass":
            match.disruptive = True
            if self.mode == "On" and self.interruption is None:
                self.interruption = self._interrupt(rule, disruption, match)

    def _interrupt(self, rule: Rule, disruption: Disruption, match: Match) -> Interruption:
        status = disruption.status or _STATUS[disruption.kind]
        if disruption.kind == "redirect" and not 300 <= status <= 308:
            status = 302
        url = self.text(disruption.url) if disruption.url is not None else None
        return Interruption(disruption.kind, status, url, rule.id, match.msg)

    def _allow(self, scope: str, phase: int) -> None:
        self._allowed.update({"all": (1, 2, 3, 4), "request": (1, 2), "phase": (phase,)}[scope])

    # Texts

    def expand(self, text: Text) -> bytes:
        """Return a text with its macros replaced by what they stand for now; by nothing where there is nothing."""
        pieces = text.pieces
        if len(pieces) == 1:
            return self._piece(pieces[0])
        return b"".join(map(self._piece, pieces))

    def _piece(self, piece: str | Reference) -> bytes:
        if isinstance(piece, str):
            return encode(piece)
        key = None if piece.key is None else encode(piece.key).lower()
        return self.facts.first(piece.variable, key) or b""

    def text(self, text: Text) -> str:
        """Return the same as text for people."""
        return self.expand(text).decode("utf-8", "replace")

    def logged(self) -> Sequence[Match]:
        """Return the matches that are to be told."""
        return [match for match in self.matches if match.rule.log]

    def __repr__(self) -> str:
        return f"<Transaction {self.facts.request.unique_id} {len(self.matches)} matches, {self.interruption!r}>"


def _named(request: Request) -> Request:
    from dataclasses import replace

    return replace(request, unique_id=uuid.uuid4().hex)


def _processor(content_type: bytes) -> str:
    """Return how a body of this type is read; rules may say otherwise."""
    kind = content_type.partition(b";")[0].strip().lower()
    if kind.startswith(b"application/x-www-form-urlencoded"):
        return "URLENCODED"
    if kind.startswith(b"multipart/form-data"):
        return "MULTIPART"
    if kind in (b"application/json", b"text/json") or kind.endswith(b"+json"):
        return "JSON"
    return "XML" if kind in (b"application/xml", b"text/xml") or kind.endswith(b"+xml") else ""
