"""Recorded requests decided anew by two configurations: what would change, before it does.

:func:`recorded` reads a line of an access log (``json``, ``clf`` or ``combined``), :func:`outcome` decides it by a snapshot, in the way of
``balancer explain``; :class:`Comparison` counts what the two say. What chance decides is drawn from the request's id, so that both
draw alike.

A log holds no more of a request than its format writes down. Conditions on header fields that are not in it do not hold here, nor do those
on bodies.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from balancer.errors import BalancerError
from balancer.listeners.http.site import Site
from balancer.service.explaining import Sample, explain
from balancer.service.snapshot import Snapshot

__all__ = ["Change", "Comparison", "Outcome", "Recorded", "UnreadableError", "check_comparable", "outcome", "recorded"]

_COMMON = re.compile(
    r'(?P<client>\S+) \S+ \S+ \[[^\]]+\] "(?P<method>[^ "]+) (?P<target>[^ "]+) HTTP/[\d.]+" \d{3} \S+'
    r'(?: "(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)")?\s*\Z'
)
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_GENERATED = ("x-request-id",)
"""Fields of a request that are new each time."""
_ASKED = ("subset", "queue.priority", "queue.timeout")
"""Terms that say what is asked of a pool."""


class UnreadableError(ValueError):
    """A line that is no request: of another format, or damaged."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request out of a log.

    ``draw`` seeds what chance decides. ``route`` and ``pool`` are where it went when it was written down, None where the format does not say.
    """

    sample: Sample
    draw: str
    route: str | None = None
    pool: str | None = None

    def __str__(self) -> str:
        host = next((value for name, value in self.sample.headers if name == "Host"), "")
        return f"{self.sample.method} {host}{self.sample.url}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a request goes and what becomes of it on the way; equal where nobody could tell the difference.

    The server is left out, as chance or load may decide it; ``asked`` is what is asked of the pool, and who gets copies, by name. ``request`` is what a server would be sent, ``answer`` what the balancer itself would say.
    """

    listener: str
    route: str
    action: str
    pool: str | None
    answer: tuple[Any, ...]
    request: tuple[Any, ...]
    asked: tuple[tuple[str, str], ...] = ()

    @property
    def where(self) -> str:
        """The outcome in a few words."""
        if self.answer:
            status, location, _ = self.answer
            return f"{self.route or 'no route'}: {status}{f' {location}' if location else ''}"
        return f"{self.route}: {self.pool or self.action}"

    def differences(self, other: Outcome) -> tuple[str, ...]:
        """Return in a few words each what is different in ``other``, the outcome by a newer configuration."""
        found = []
        for name in ("listener", "route", "action", "pool"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                found.append(f"{name}: {mine or 'none'} → {theirs or 'none'}")
        if self.answer != other.answer:
            found += _of_answers(self.answer, other.answer)
        elif self.request != other.request and self.request and other.request:
            found += _of_requests(self.request, other.request)
        return (*found, *_of_asked(dict(self.asked), dict(other.asked)))


def _of_asked(mine: dict[str, str], theirs: dict[str, str]) -> Iterator[str]:
    for name in sorted({*mine, *theirs}):
        if mine.get(name) != theirs.get(name):
            yield f"{name}: {mine.get(name, 'none')} → {theirs.get(name, 'none')}"


def _of_answers(mine: tuple[Any, ...], theirs: tuple[Any, ...]) -> Iterator[str]:
    if not mine or not theirs:
        yield f"answer: {mine[0] if mine else 'a server'} → {theirs[0] if theirs else 'a server'}"
        return
    for name, old, new in zip(("status", "location"), mine, theirs, strict=False):
        if old != new:
            yield f"{name}: {old or 'none'} → {new or 'none'}"
    if mine[2] != theirs[2]:
        yield f"answer's fields: {_changed(mine[2], theirs[2])}"


def _of_requests(mine: tuple[Any, ...], theirs: tuple[Any, ...]) -> Iterator[str]:
    for name, old, new in zip(("method", "target"), mine, theirs, strict=False):
        if old != new:
            yield f"{name}: {old} → {new}"
    if mine[2] != theirs[2]:
        yield f"request's fields: {_changed(mine[2], theirs[2])}"


def _changed(old: Sequence[tuple[str, str]], new: Sequence[tuple[str, str]]) -> str:
    before, after = set(old), set(new)
    names = sorted({name.lower() for name, _ in before ^ after}) or ["their order"]
    return ", ".join(names)


@dataclass(frozen=True, slots=True)
class Change:
    """A difference that some requests have in common; ``example`` is the first of them."""

    old: Outcome
    new: Outcome
    differences: tuple[str, ...]
    example: Recorded


@dataclass(slots=True)
class Comparison:
    """Two snapshots held against each other, request by request.

    ``compared`` requests were decided, ``changed`` of them differently; ``unreadable`` lines were none; of ``elsewhere`` the log says that they
    went another way than ``old`` sends them: it was written under another configuration, or holds too little of them. ``changes`` counts equal differences.
    """

    old: Snapshot
    new: Snapshot
    listener: str | None = None
    compared: int = 0
    changed: int = 0
    unreadable: int = 0
    sessions: int = 0
    elsewhere: int = 0
    changes: dict[tuple[str, str, tuple[str, ...]], tuple[Change, int]] = field(default_factory=dict)

    def take(self, line: str) -> Change | None:
        """Decide the request in ``line`` by both; return what changes, if anything does."""
        try:
            found = recorded(line, self.listener)
        except UnreadableError:
            self.unreadable += 1
            return None
        if found is None:
            self.sessions += 1
            return None
        before, after = outcome(self.old, found), outcome(self.new, found)
        self.compared += 1
        if found.route is not None and (
            found.route != before.route or (before.action == "pool" and (found.pool or None) != before.pool)
        ):
            self.elsewhere += 1
        differences = before.differences(after)
        if not differences:
            return None
        self.changed += 1
        change = Change(before, after, differences, found)
        key = (before.where, after.where, tuple(each for each in differences if not each.startswith("target:")))
        first, count = self.changes.get(key, (change, 0))
        self.changes[key] = (first, count + 1)
        return change


def outcome(snapshot: Snapshot, request: Recorded) -> Outcome:
    """Decide ``request`` by ``snapshot``.

    Raises:
        BalancerError: where the snapshot has no HTTP listener.
    """
    sample = request.sample
    if sample.listener is not None and not isinstance(snapshot.listeners.get(sample.listener), Site):
        return Outcome("", "", "none", None, (0, "its listener is gone", ()), ())
    seed = int.from_bytes(hashlib.blake2b(request.draw.encode(), digest_size=8).digest(), "big")
    try:
        found = explain(snapshot, sample, random.Random(seed).random)
    except (UnicodeError, ValueError) as error:
        return Outcome(sample.listener or "", "", "none", None, (400, str(error), ()), ())
    answer: tuple[Any, ...] = ()
    if found.status or not (found.pool or found.action == "resource"):
        answer = (found.status, found.location or found.reason or None, tuple(found.response_headers))
    sent: tuple[Any, ...] = ()
    if found.request is not None:
        fields = tuple((name, value) for name, value in found.request["headers"] if name.lower() not in _GENERATED)
        sent = (found.request["method"], found.request["target"], fields)
    asked = {name: str(found.terms[name]["value"]) for name in _ASKED if name in found.terms}
    copies = [each["pool"] for each in found.copies if each["sent"]]
    if copies:
        asked["copies"] = ", ".join(copies)
    return Outcome(found.listener, found.route, found.action, found.pool, answer, sent, tuple(asked.items()))


def recorded(line: str, listener: str | None = None) -> Recorded | None:
    """Return the request that ``line`` of an access log tells of; None for a session of layer 4.

    Args:
        line: of the formats ``json``, ``clf`` or ``combined``.
        listener: where it is to have come; by default where the line says that it did.

    Raises:
        UnreadableError: it is no such line.
    """
    text = line.strip()
    if text.startswith("{"):
        return _from_json(text, listener)
    match = _COMMON.match(text)
    if match is None:
        raise UnreadableError("a line of no format that can be read")
    if match["method"] in ("TCP", "UDP"):
        return None
    headers = [("Host", "localhost")]
    for name, value in (("Referer", match["referer"]), ("User-Agent", match["agent"])):
        if value is not None and value != "-":
            headers.append((name, _unescaped(value)))
    client = "127.0.0.1" if match["client"] == "unix" else match["client"]
    sample = Sample(_unescaped(match["target"]), match["method"], headers, client, None, listener)
    return Recorded(sample, text)


def _from_json(text: str, listener: str | None) -> Recorded | None:
    try:
        found = json.loads(text)
        if "protocol" in found:
            return None
        method, target, host = found["method"], found["target"], found["host"]
        if not method or not target:  # what could not be read as a request
            raise UnreadableError("no request")
        headers = [("Host", host)] if host else []
        for name, key in (("User-Agent", "user_agent"), ("Referer", "referer")):
            if key in found:
                headers.append((name, found[key]))
        headers += [(name, value) for name, values in found.get("headers", {}).items() for value in values]
        tls = "tls" in found
        url = f"https://{host}{target}" if tls and host and target.startswith("/") else target
        client = found["client"] or "127.0.0.1"
        sample = Sample(url, method, headers, client, None, listener or found["listener"])
        return Recorded(sample, found.get("request_id") or text, found["route"], found["pool"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableError(str(error)) from None


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)


def check_comparable(*snapshots: Snapshot) -> None:
    """Raise BalancerError where one of ``snapshots`` has no HTTP listener to decide a request for."""
    for snapshot in snapshots:
        if not any(isinstance(settings, Site) for settings in snapshot.listeners.values()):
            raise BalancerError("a configuration without an HTTP listener decides no requests")
