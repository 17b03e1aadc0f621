"""Questions to a running service, as plain values: where would this request, or session, go now?

The answer comes from the snapshot that serves, with the health, load and stickiness of the moment. Nothing is sent or counted.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from balancer.errors import BalancerError
from balancer.service.explaining import Sample, SampleAnswer, explain
from balancer.service.explaining_sessions import SessionSample, explain_session, is_session
from balancer.service.snapshot import Snapshot
from balancer.tls.clients import read_client_certificate

__all__ = ["answer", "question_of"]

_KINDS: dict[str, type | tuple[type, ...]] = {
    "url": str,
    "method": str,
    "headers": list,
    "client_ip": str,
    "body": str,
    "listener": str,
    "client_certificate": str,
    "sni": str,
    "alpn": list,
    "seed": int,
    "at": (int, float),
    "answer": Mapping,
}


def question_of(
    sample: Sample | SessionSample, certificate: Path | None = None, seed: int | None = None
) -> dict[str, Any]:
    """Return ``sample`` as plain values; ``certificate`` is the file that the client's is in."""
    found: dict[str, Any] = {
        "url": sample.url,
        "client_ip": sample.client_ip,
        "listener": sample.listener,
        "seed": seed,
    }
    if isinstance(sample, SessionSample):
        found |= {"sni": sample.sni, "alpn": list(sample.alpn)}
    else:
        found |= {"method": sample.method, "headers": [list(pair) for pair in sample.headers], "body": sample.body}
        found["at"] = sample.at
        found["answer"] = None if sample.answer is None else _plain(sample.answer)
        if certificate is not None:
            found["client_certificate"] = str(certificate.absolute())
    return {key: value for key, value in found.items() if value is not None}


def _plain(answer: SampleAnswer) -> dict[str, Any]:
    return {"status": answer.status, "headers": [list(pair) for pair in answer.headers], "body": answer.body}


def answer(snapshot: Snapshot, question: Any) -> dict[str, Any]:
    """Return the explanation, under the keys of ``balancer explain --json``.

    Raises:
        BalancerError: for a question that is none, or names what is not there.
    """
    if not isinstance(question, Mapping) or "url" not in question:
        raise BalancerError("expected a JSON object with a 'url'")
    for key, value in question.items():
        if key not in _KINDS:
            raise BalancerError(f"unknown key {key!r} in the question; known: {', '.join(_KINDS)}")
        if not isinstance(value, _KINDS[key]) or isinstance(value, bool):
            raise BalancerError(f"the {key!r} of the question is of the wrong kind: {value!r}")
    seed = question.get("seed")
    draw = random.random if seed is None else random.Random(seed).random
    try:
        if is_session(question["url"]):
            return explain_session(snapshot, _session(question), draw).as_json()
        return explain(snapshot, _request(question), draw).as_json()
    except (UnicodeError, ValueError, TypeError) as error:
        raise BalancerError(f"the question cannot be read: {error}") from None


def _session(question: Mapping[str, Any]) -> SessionSample:
    client, alpn = question.get("client_ip", "127.0.0.1"), tuple(map(str, question.get("alpn", ())))
    return SessionSample(question["url"], client, question.get("listener"), question.get("sni"), alpn)


def _request(question: Mapping[str, Any]) -> Sample:
    shown = question.get("client_certificate")
    body = question.get("body")
    return Sample(
        question["url"],
        question.get("method", "GET" if body is None else "POST"),
        [(str(name), str(value)) for name, value in question.get("headers", ())],
        question.get("client_ip", "127.0.0.1"),
        body,
        question.get("listener"),
        read_client_certificate(Path(shown)) if shown is not None else None,
        question.get("at"),
        _answer(question.get("answer")),
    )


def _answer(found: Mapping[str, Any] | None) -> SampleAnswer | None:
    if found is None:
        return None
    status, body = found.get("status", 200), found.get("body", "")
    if not isinstance(status, int) or not 200 <= status <= 599 or not isinstance(body, str):
        raise ValueError("expected in 'answer' a 'status' from 200 to 599 and a 'body' of text")
    return SampleAnswer(status, [(str(name), str(value)) for name, value in found.get("headers", ())], body)
