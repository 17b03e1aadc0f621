"""Runs the regression tests of the OWASP Core Rule Set (go-ftw's format) against an engine, in memory."""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from balancer_crs.engine.engine import Engine
from balancer_crs.engine.messages import Request, Response
from balancer_crs.engine.transaction import Transaction
from balancer_crs.folding import fold, unfolded
from balancer_crs.lang.parsing import parse_string
from balancer_crs.recommended import RULES

from tests.rulesets import shared

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

SETTINGS = """
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html text/xml application/json
"""
LIMITS = """
SecAction "id:900006,phase:1,nolog,pass,t:none,setvar:tx.max_num_args=255,setvar:tx.arg_name_length=100"
"""
"""Of the rule set's own test configuration."""


def engine(where: Path, *, tests: bool = True, folded: bool = True, **how: Any) -> Engine:
    """Return the rules as the tests want them, or as they come."""
    text = f"{SETTINGS}{RULES}\nInclude {where}/crs-setup.conf.example\n"
    if tests:
        text += f"{LIMITS}Include {where}/test-settings.conf\n"
    rules = parse_string(text + f"Include {where}/rules/*.conf\n")
    return Engine(fold(rules) if folded else unfolded(rules), **how)


@dataclass(frozen=True)
class Stage:
    """One request and what is to be seen of it."""

    name: str
    head: Request | None
    body: bytes
    expected: tuple[int, ...]
    unexpected: tuple[int, ...]
    status: int | None
    log: dict[str, Any] = field(default_factory=dict)
    error: bool = False


def stages(where: Path) -> Iterator[Stage]:
    """Yield all stages, in order of their files."""
    for path in sorted((where / "tests").rglob("*.yaml")):
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
        rule = document.get("rule_id", path.stem)
        for test in document["tests"]:
            for number, stage in enumerate(test["stages"]):
                yield _stage(f"{rule}-{test['test_id']}" + (f".{number}" if number else ""), stage)


def _stage(name: str, stage: dict[str, Any]) -> Stage:
    given, wanted = stage["input"], stage["output"]
    log = wanted.get("log") or {}
    raw = given.get("encoded_request")
    head, body = parsed(base64.b64decode(raw) if raw else written(given))
    return Stage(
        name,
        head,
        body,
        tuple(log.get("expect_ids", ())),
        tuple(log.get("no_expect_ids", ())),
        wanted.get("status"),
        log,
        bool(wanted.get("expect_error")),
    )


def written(given: dict[str, Any]) -> bytes:
    """Return the request as go-ftw writes it."""
    headers = [(str(name), str(value)) for name, value in (given.get("headers") or {}).items()]
    data = given.get("data")
    body = b"" if data is None else str(data).encode("utf-8")
    names = {name.lower() for name, _ in headers}
    if given.get("autocomplete_headers", True):
        if body and "content-type" not in names:
            headers.append(("Content-Type", "application/x-www-form-urlencoded"))
        if (
            (body or given.get("method") in ("POST", "PUT", "PATCH"))
            and "content-length" not in names
            and "transfer-encoding" not in names
        ):
            headers.append(("Content-Length", str(len(body))))
        if "connection" not in names:
            headers.append(("Connection", "close"))
    version = given.get("version")
    line = f"{given.get('method', 'GET')} {given.get('uri', '/')} {'HTTP/1.1' if version is None else version}"
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{line}\r\n{head}\r\n".encode() + body


def parsed(raw: bytes) -> tuple[Request | None, bytes]:
    """Return head and body of a request on the wire; no head for what no server would take."""
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    words = lines[0].split(b" ")
    if len(words) < 2:
        return None, b""
    method, protocol = words[0], (words[-1] if len(words) > 2 else b"") or b"HTTP/0.9"
    if b"\r" in head.replace(b"\r\n", b""):
        return None, b""
    target = b" ".join(words[1:-1]) if len(words) > 2 else words[1]
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            headers.append((name, value.strip(b" \t")))
    if any(name.lower() == b"transfer-encoding" and b"chunked" in value.lower() for name, value in headers):
        body = _unchunked(body)
        headers = [each for each in headers if each[0].lower() != b"content-length"]
    else:
        lengths = [value for name, value in headers if name.lower() == b"content-length"]
        body = body[: int(lengths[0])] if lengths and lengths[0].isdigit() else b""
    return Request(method, target, protocol, tuple(headers)), body


def _unchunked(text: bytes) -> bytes:
    out = b""
    while text:
        size, _, text = text.partition(b"\r\n")
        try:
            length = int(size.partition(b";")[0], 16)
        except ValueError:
            return out + text
        if not length:
            break
        out, text = out + text[:length], text[length + 2 :]
    return out


def answer(head: Request, body: bytes) -> tuple[Response, bytes]:
    """Return what the server behind answers."""
    if not head.target.startswith(b"/reflect"):
        return Response(200, ((b"Content-Type", b"text/plain"),)), b""
    try:
        wanted = json.loads(body)
    except ValueError:
        return Response(200, ((b"Content-Type", b"text/plain"),)), b""
    text = str(wanted.get("body", "")).encode("utf-8")
    if "encodedBody" in wanted:
        try:
            text = base64.b64decode(wanted["encodedBody"])
        except binascii.Error:
            text = b""
    headers = {"Content-Type": "text/plain"} | {
        str(name): str(value) for name, value in (wanted.get("headers") or {}).items()
    }
    return Response(int(wanted.get("status", 200)), tuple((n.encode(), v.encode()) for n, v in headers.items())), text


def run(engine: Engine, head: Request, body: bytes) -> Transaction:
    """Take one exchange through all phases."""
    transaction = engine.transaction(head)
    transaction.request_head()
    transaction.request_body(body)
    response, text = answer(head, body)
    transaction.response_head(response)
    transaction.response_body(text)
    transaction.logging()
    return transaction


def failure(engine: Engine, stage: Stage) -> str | None:
    """Return why the stage is not met; None if it is."""
    if stage.head is None:
        return None if stage.status == 400 or stage.error else "no request"
    transaction = run(engine, stage.head, stage.body)
    found = {match.id for match in transaction.logged()}
    missing = [rule for rule in stage.expected if rule not in found]
    extra = [rule for rule in stage.unexpected if rule in found]
    if missing or extra:
        return f"missing {missing}, not wanted {extra}, found {sorted(found)}"
    lines = "\n".join(f'[id "{each.id}"] [msg "{each.msg}"] [data "{each.logdata}"]' for each in transaction.logged())
    if (wanted := stage.log.get("match_regex")) and not re.search(wanted, lines):
        return f"{wanted!r} is not in the log"
    if (unwanted := stage.log.get("no_match_regex")) and re.search(unwanted, lines):
        return f"{unwanted!r} is in the log"
    return None


def main() -> None:
    """Print what fails, and what a stage costs."""
    where = shared()
    began = time.perf_counter()
    ready = engine(where)
    print(ready, f"loaded in {time.perf_counter() - began:.2f} s")
    for note in ready.notes:
        print("note:", note)
    every = list(stages(where))
    began = time.thread_time()
    failed = [(stage, why) for stage in every if (why := failure(ready, stage)) is not None]
    took = time.thread_time() - began
    for stage, why in failed:
        print(stage.name, why, stage.status or "")
    print(f"{len(every) - len(failed)} of {len(every)}, {took / len(every) * 1e3:.2f} ms each")


if __name__ == "__main__":
    main()
