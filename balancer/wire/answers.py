"""Error pages: the answers the balancer makes itself, in the form the client's ``Accept`` asks for.

Every one carries the status, the RFC 9209 reason and the request id, so that a user's screenshot, the access log and
the ``Proxy-Status`` field speak of the same thing.
"""

from __future__ import annotations

import html
import json
from http import HTTPStatus

__all__ = ["error_page", "proxy_status", "status_phrase"]

_HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{status} {phrase}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 34em; margin: 12vh auto; padding: 0 1em; color: #222; }}
h1 {{ font-size: 1.5em; margin: 0 0 .5em; }}
code {{ font: .9em ui-monospace, monospace; color: #555; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #181818; color: #ddd; }} code {{ color: #aaa; }} }}
</style>
</head>
<body>
<h1>{status} {phrase}</h1>
<p>{text}</p>
<p><code>{reason}</code>{request}</p>
</body>
</html>
"""
_EXTRA_PHRASES = {499: "Client Closed Request"}


def status_phrase(status: int) -> str:
    """Return the reason phrase of ``status``, ``"Unknown"`` if it has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return _EXTRA_PHRASES.get(status, "Unknown")


def proxy_status(reason: str, detail: str = "") -> bytes:
    """Return the value of ``Proxy-Status`` (RFC 9209) for one of our own answers."""
    value = f"balancer; error={reason}" if reason else "balancer"
    if detail:
        kept = "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in detail)[:200]
        value += f'; details="{kept}"'
    return value.encode("ascii")


def error_page(status: int, text: str, reason: str, request_id: str, accept: str) -> tuple[bytes, bytes]:
    """Return ``(content type, body)`` of the page for an error.

    ``text`` is one sentence for a person, ``reason`` an RFC 9209 error type, ``accept`` the request's ``Accept`` (``""``
    if absent): HTML for browsers, JSON for those that ask for it, else plain text.
    """
    phrase = status_phrase(status)
    kind = _preferred(accept)
    if kind == "json":
        content = {"status": status, "title": phrase, "detail": text, "reason": reason, "request_id": request_id}
        return b"application/problem+json", json.dumps({k: v for k, v in content.items() if v != ""}).encode() + b"\n"
    if kind == "html":
        request = f"<br><code>request {html.escape(request_id)}</code>" if request_id else ""
        page = _HTML.format(
            status=status,
            phrase=html.escape(phrase),
            text=html.escape(text),
            reason=html.escape(reason),
            request=request,
        )
        return b"text/html; charset=utf-8", page.encode()
    lines = [
        f"{status} {phrase}",
        text,
        f"reason: {reason}" if reason else "",
        f"request: {request_id}" if request_id else "",
    ]
    return b"text/plain; charset=utf-8", ("\n".join(line for line in lines if line) + "\n").encode()


def _preferred(accept: str) -> str:
    """Return ``html``, ``json`` or ``text`` by the highest quality in ``Accept`` (RFC 9110 section 12.5.1)."""
    best, best_quality = "text", 0.0
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        if media in ("text/html", "application/xhtml+xml"):
            kind = "html"
        elif media == "application/json" or media.endswith("+json"):
            kind = "json"
        elif media in ("text/plain", "text/*", "*/*"):
            kind = "text"
        else:
            continue
        if quality > best_quality:
            best, best_quality = kind, quality
    return best
