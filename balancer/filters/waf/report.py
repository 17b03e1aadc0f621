"""What the checks found, as the access log has it under ``notes.waf``, and as ``balancer explain`` says it."""

from __future__ import annotations

from typing import Any

from balancer.filters.waf.arbiter import Noted, Ruling

__all__ = ["as_note", "in_words", "merged"]

_SNIPPET = 100
"""Characters of what a rule matched that go into the log."""

_MOST = 100
"""Findings of one exchange that go into the log."""

_SECRET = ("cookie", "header:cookie", "header:authorization", "header:proxy-authorization")
_GRAVITY = ("passed", "detected", "redirected", "blocked", "dropped")


def as_note(ruling: Ruling, seconds: float) -> dict[str, Any]:
    """Return ``ruling`` as plain values; ``seconds`` is what the checks took."""
    note: dict[str, Any] = {
        "action": ruling.action,
        "score": ruling.inbound,
        "findings": [_finding(each) for each in ruling.findings[:_MOST]],
        "ms": round(seconds * 1000, 2),
    }
    if ruling.outbound:
        note["outbound"] = ruling.outbound
    if ruling.because:
        note["because"] = ruling.because
    if len(ruling.findings) > _MOST:
        note["more"] = len(ruling.findings) - _MOST
    if ruling.failures:
        note["failures"] = [
            {
                "check": each.check,
                "phase": each.phase,
                "kind": each.kind,
                "words": each.words[:_SNIPPET],
                "means": each.means,
            }
            for each in ruling.failures
        ]
    return note


def _finding(noted: Noted) -> dict[str, Any]:
    finding = noted.finding
    found = {
        "check": noted.check,
        "phase": noted.phase,
        "rule": finding.rule,
        "score": finding.score,
        "severity": finding.severity,
        "message": finding.message,
        "target": finding.target,
        "snippet": "" if _is_secret(finding.target) else finding.snippet[:_SNIPPET],
    }
    if not noted.counts:
        found["counts"] = False
    return found


def _is_secret(target: str) -> bool:
    """Whether what stands there is nobody's business."""
    lower = target.lower()
    return lower in _SECRET or lower.startswith("cookie:")


def merged(before: dict[str, Any] | None, note: dict[str, Any]) -> dict[str, Any]:
    """Return what two filters of one exchange have to say as one."""
    if before is None:
        return note
    both = {**before, **note}
    both["action"] = max(before["action"], note["action"], key=_GRAVITY.index)
    both["because"] = "; ".join(each["because"] for each in (before, note) if "because" in each)
    for sum_ in ("score", "outbound", "ms", "more"):
        if sum_ in both:
            both[sum_] = before.get(sum_, 0) + note.get(sum_, 0)
    for list_ in ("findings", "failures"):
        if list_ in both:
            both[list_] = before.get(list_, []) + note.get(list_, [])
    return both


def in_words(ruling: Ruling, inbound: int, outbound: int, seconds: float) -> str:
    """Return the decision, the sums and the findings in a few words."""
    time = f"{seconds * 1000:.1f} ms"
    if ruling.is_empty:
        return f"nothing found ({time})"
    words = f"{ruling.action}, score {ruling.inbound} of {inbound}"
    if ruling.outbound:
        words += f", {ruling.outbound} of {outbound} in the response"
    if ruling.because:
        words += f", as {ruling.because}"
    findings = [
        f"{each.finding.rule} {each.finding.score} {each.finding.target}".rstrip()
        + ("" if each.counts else " (does not count)")
        for each in ruling.findings
    ]
    failures = [f"{each.check} failed in {each.phase}: {each.words}" for each in ruling.failures]
    return f"{words} ({'; '.join([*dict.fromkeys(findings), *failures, time])})"
