"""What plug-ins may hand back: the shape of verdicts, replies, and of exchanges that a filter has changed.

Each function raises TypeError or ValueError, saying what the plug-in must mend. What is not sound never reaches the
wire: a line break in a header, or a length of a plug-in's own, would let a request be smuggled (RFC 9112 section 11.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from balancer.model.exchange import Exchange, Reply
from balancer.model.header_rules import header_name, safe_value
from balancer.model.verdict import SCOPES, SEVERITIES, Allow, Block, Drop, Finding, Redirect, Verdict

__all__ = [
    "sound_end",
    "sound_flag",
    "sound_ids",
    "sound_line",
    "sound_piece",
    "sound_reply",
    "sound_request",
    "sound_response",
    "sound_transform",
    "sound_truth",
    "sound_verdict",
]

_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_TARGET = re.compile(r"(/[\x21-\x7e\x80-\xff]*|\*)\Z")
_LOCATION = re.compile(r"[\x21-\x7e]+\Z")
_LINE_ENDS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")

Headers = Iterable[tuple[bytes, bytes]]


def sound_truth(found: Any) -> bool:
    """Return what a matcher said as a bool; a Deferred or coroutine would always be true, and is none."""
    if hasattr(found, "addCallback") or hasattr(found, "__await__"):
        _close(found)
        raise TypeError(f"matches() must return a bool at once, not a {type(found).__name__}")
    return bool(found)


def sound_flag(found: Any) -> str | None:
    """Return what a flag is: text, or None for no such flag."""
    if found is not None and not isinstance(found, str):
        _close(found)
        raise TypeError(f"a flag must be a string or None, not {_named(found)}")
    return found


def sound_line(found: Any) -> str:
    """Return a line for the access log, which what it quotes cannot break in two."""
    if not isinstance(found, str):
        raise TypeError(f"a line must be a string, not {_named(found)}")
    return _LINE_ENDS.sub(lambda char: ascii(char[0])[1:-1], found)


def sound_reply(found: Any) -> Reply | None:
    """Return what a filter's request part returned, None or a Reply that can be sent."""
    if found is None:
        return None
    if not isinstance(found, Reply):
        _close(found)
        raise TypeError(f"request() must return a Reply, None or a Deferred of them, not {_named(found)}")
    if not _is_status(found.status):
        raise ValueError(f"the status of a Reply must be from 200 to 599, not {found.status!r}")
    if found.body is not None and not isinstance(found.body, bytes):
        raise TypeError(f"the body of a Reply must be bytes, not {_named(found.body)}")
    if not isinstance(found.reason, str) or not isinstance(found.detail, str):
        raise TypeError("reason and detail of a Reply must be strings")
    _headers(found.headers, ())
    return found


def sound_request(exchange: Exchange, before: tuple[str, str, Headers]) -> None:
    """Check what a filter made of method, target and headers; ``before`` is what they were."""
    method, target, headers = before
    if exchange.method is not method and not (isinstance(exchange.method, str) and _METHOD.match(exchange.method)):
        raise ValueError(f"a method cannot be {exchange.method!r}")
    if exchange.target is not target and not (isinstance(exchange.target, str) and _TARGET.match(exchange.target)):
        raise ValueError(f"a target is a path in ASCII or latin-1 without blanks, and cannot be {exchange.target!r}")
    if exchange.headers != headers:
        _headers(exchange.headers, headers)


def sound_response(exchange: Exchange, status: int, headers: Headers) -> None:
    """Check what a filter made of status and headers of a response; the arguments are what they were."""
    if exchange.status != status and not _is_status(exchange.status):
        raise ValueError(f"a status must be from 200 to 599, not {exchange.status!r}")
    if exchange.response_headers != headers:
        _headers(exchange.response_headers, headers)


def sound_transform(found: Any) -> Any:
    """Return what a filter returned to change a body, None or something with ``feed`` and ``end``."""
    if found is not None and not (callable(getattr(found, "feed", None)) and callable(getattr(found, "end", None))):
        _close(found)
        raise TypeError(f"what changes a body has feed() and end(), which {_named(found)} has not")
    return found


def sound_piece(found: Any) -> bytes:
    """Return what became of a piece of a body."""
    if not isinstance(found, bytes):
        _close(found)
        raise TypeError(f"feed() must return bytes, not {_named(found)}")
    return found


def sound_end(found: Any) -> tuple[bytes, Any]:
    """Return what was left of a body, and the trailers behind it."""
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], bytes)):
        _close(found)
        raise TypeError(f"end() must return bytes and trailers, not {_named(found)}")
    if found[1] is not None:
        _headers(found[1], ())
    return found


def sound_verdict(found: Any) -> Verdict | None:
    """Return what a check found, None for nothing, as a Verdict of Findings."""
    if found is None:
        return None
    if isinstance(found, tuple | list):
        found = Verdict(tuple(found))
    if not isinstance(found, Verdict):
        _close(found)
        raise TypeError(f"a check must return Findings, a Verdict or None, not {_named(found)}")
    if not isinstance(found.findings, tuple | list):
        raise TypeError(f"the findings of a Verdict must be a tuple, not {_named(found.findings)}")
    for finding in found.findings:
        _finding(finding)
    if found.demand is not None:
        _demand(found.demand)
    return found if found.findings or found.demand is not None else None


def _finding(finding: Any) -> None:
    if not isinstance(finding, Finding):
        raise TypeError(f"findings must be Findings, not {_named(finding)}")
    if type(finding.score) is not int:
        raise TypeError(f"the score of a Finding must be an integer, not {_named(finding.score)}")
    if finding.score < 0:
        raise ValueError(f"the score of a Finding cannot be below 0: {finding.score}")
    words = (finding.rule, finding.message, finding.severity, finding.target, finding.snippet)
    if not all(isinstance(each, str) for each in words):
        raise TypeError("rule, message, severity, target and snippet of a Finding must be strings")
    if not finding.rule:
        raise ValueError("a Finding needs the id of its rule")
    if finding.severity not in SEVERITIES:
        raise ValueError(f"the severity of a Finding is one of {', '.join(SEVERITIES)}, not {finding.severity!r}")


def _demand(demand: Any) -> None:
    if isinstance(demand, Block):
        if demand.status and not (_is_status(demand.status) and demand.status >= 400):
            raise ValueError(f"the status of a Block is 0 or from 400 to 599, not {demand.status!r}")
    elif isinstance(demand, Redirect):
        if type(demand.status) is not int or demand.status not in (301, 302, 303, 307, 308):
            raise ValueError(f"the status of a Redirect is 301, 302, 303, 307 or 308, not {demand.status!r}")
        if not isinstance(demand.to, str) or not _LOCATION.match(demand.to):
            raise ValueError(f"a Redirect leads to a URL or path in ASCII without blanks, and not to {demand.to!r}")
    elif isinstance(demand, Allow):
        if demand.scope not in SCOPES:
            raise ValueError(f"the scope of an Allow is one of {', '.join(SCOPES)}, not {demand.scope!r}")
        if not isinstance(demand.checks, tuple | list) or not all(isinstance(name, str) for name in demand.checks):
            raise TypeError("the checks of an Allow must be a tuple of names")
    elif not isinstance(demand, Drop):
        raise TypeError(f"the demand of a Verdict must be Block, Drop, Redirect, Allow or None, not {_named(demand)}")


def sound_ids(found: Verdict | None, ids: range | None) -> Verdict | None:
    """Return ``found`` if its rules are of the numbers that the check has declared."""
    if found is not None and ids is not None:
        for finding in found.findings:
            number = int(finding.rule) if finding.rule.isascii() and finding.rule.isdigit() else -1
            if number not in ids:
                raise ValueError(f"the rule {finding.rule!r} is not one of the check's, {ids.start} to {ids[-1]}")
    return found


def _headers(headers: Any, before: Headers) -> None:
    if not isinstance(headers, list | tuple):
        raise TypeError(f"headers must be a list of (name, value) pairs of bytes, not {_named(headers)}")
    known = frozenset(before)
    for pair in headers:
        if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(part, bytes) for part in pair)):
            raise TypeError(f"a header must be a (name, value) pair of bytes, not {pair!r}")
        if pair not in known:
            name, value = pair
            header_name(name.decode("latin-1"))
            if safe_value(value) != value:
                raise ValueError(f"the header {name!r} cannot have control characters in its value: {value!r}")


def _is_status(status: Any) -> bool:
    return isinstance(status, int) and 200 <= status <= 599


def _named(found: Any) -> str:
    return type(found).__name__


def _close(found: Any) -> None:
    """Keep a coroutine that nobody will await from complaining about it."""
    close = getattr(found, "close", None)
    if hasattr(found, "__await__") and callable(close):
        close()
