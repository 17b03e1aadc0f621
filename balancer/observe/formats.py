"""The access log's formats: json, clf, combined and haproxy, registered through the same hook as a plug-in's.

Whatever a client sends is escaped: no request can add a line, or a field, to the log.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from functools import lru_cache

from pydantic import Field, field_validator
from zope.interface import implementer

from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory, IAccessLogFormat, IFactory
from balancer.hooks.settings import Settings
from balancer.model.frames import WebSocketRecord
from balancer.model.header_rules import header_name
from balancer.model.tls import TLSInfo
from balancer.observe.records import ExchangeRecord, SessionRecord

__all__ = ["Clf", "Combined", "Haproxy", "Json", "balancer_access_log_formats"]

_quoted = json.encoder.encode_basestring_ascii
_UNSAFE = re.compile(r'[\x00-\x1f"\\\x7f-\U0010ffff]')
_SPOKEN = {"": "", "http1": ',"server_protocol":"http1"', "h2": ',"server_protocol":"h2"'}
_MILLISECONDS = tuple(f"{number:03}" for number in range(1000))
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _escaped(text: str) -> str:
    """Return ``text`` with quotes, backslashes, control and non-ASCII characters as ``\\xHH`` (Apache's way)."""
    return _UNSAFE.sub(
        lambda match: "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", "surrogateescape")), text
    )


class _Seconds:
    """A formatted second, made anew only when the second changes."""

    def __init__(self) -> None:
        self.second = -1
        self.iso = self.clf = self.haproxy = ""

    def at(self, started: float) -> _Seconds:
        second = int(started)
        if second != self.second:
            self.second = second
            utc = time.gmtime(second)
            self.iso = time.strftime("%Y-%m-%dT%H:%M:%S", utc)
            month = _MONTHS[utc.tm_mon - 1]
            self.clf = f"{utc.tm_mday:02}/{month}/{time.strftime('%Y:%H:%M:%S +0000', utc)}"
            self.haproxy = f"{utc.tm_mday:02}/{month}/{time.strftime('%Y:%H:%M:%S', utc)}"
        return self


class JsonSettings(Settings):
    """What is written down besides the usual."""

    headers: tuple[str, ...] = Field(
        default=(),
        description="Header fields of requests to write down, such as Accept-Language; what 'balancer replay' knows of a request.",
    )

    @field_validator("headers")
    @classmethod
    def _names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            header_name(name)
        return names


def _json_headers(r: ExchangeRecord, wanted: frozenset[bytes]) -> str:
    """Return the ``wanted`` fields of a request as a member of a JSON object, ``""`` where it has none of them."""
    found: dict[str, list[str]] = {}
    for name, value in r.headers:
        lowered = name.lower()
        if lowered in wanted:
            found.setdefault(lowered.decode("ascii"), []).append(value.decode("latin-1").strip(" \t"))
    return f',"headers":{json.dumps(found, separators=(",", ":"))}' if found else ""


def _json_request(r: ExchangeRecord) -> str:
    """Return what the request itself says, as members of a JSON object."""
    text = (
        f'"client":"{r.client}","client_port":{r.client_port},"method":{_quoted(r.method)},"host":{_quoted(r.host)}'
        f',"target":{_quoted(r.target)},"version":"{r.version}"'
    )
    for name, value in r.headers:
        if len(name) in (7, 10):
            lowered = name.lower()
            if lowered == b"user-agent":
                text += f',"user_agent":{_quoted(value.decode("latin-1"))}'
            elif lowered == b"referer":
                text += f',"referer":{_quoted(value.decode("latin-1"))}'
    tls = r.facts.tls if r.facts is not None else None
    if tls is not None:
        text += f',"tls":{_json_tls(tls)}'
    return text


def _json_websocket(counts: WebSocketRecord) -> str:
    """Return what went through a WebSocket, as members of a JSON object: off the plain path, so made the simple way."""
    received, sent = counts.received, counts.sent
    said: dict[str, object] = {
        "messages_in": received.messages,
        "messages_out": sent.messages,
        "frames_in": dict(received.kinds()),
        "frames_out": dict(sent.kinds()),
    }
    if counts.closed_by:
        said |= {"closed_by": counts.closed_by, "close_code": counts.close_code}
    if received.violations or sent.violations:
        said |= {"violations_in": received.violations, "violations_out": sent.violations}
    if counts.pings:
        said["pings"] = counts.pings
    return f',"websocket":{json.dumps(said, separators=(",", ":"))}'


@lru_cache(maxsize=1024)
def _json_tls(tls: TLSInfo) -> str:
    """Return how a connection is protected as a JSON object; made once for the requests of a connection."""
    found: dict[str, object] = {"version": tls.version, "cipher": tls.cipher}
    if tls.sni:
        found["sni"] = tls.sni
    if tls.alpn:
        found["alpn"] = tls.alpn
    found["resumed"] = tls.resumed
    if tls.client is not None:
        found["client"] = tls.client.subject
        found["client_fingerprint"] = tls.client.fingerprint
    return json.dumps(found, separators=(",", ":"))


@implementer(IAccessLogFormat)
class Json:
    """One JSON object a line; times in seconds, phases that did not happen left out."""

    def __init__(self, settings: JsonSettings | None = None) -> None:
        self._seconds = _Seconds()
        self._headers = (
            frozenset(name.lower().encode("ascii") for name in settings.headers) if settings else frozenset()
        )

    def exchange(self, record: ExchangeRecord) -> str:
        """Return the line for an exchange.

        Hand-tuned: one f-string is six times as fast as ``json.dumps``, a formatted number costs 0.15 µs.
        """
        r = record
        started = r.started
        second = int(started)
        seconds = self._seconds
        if second != seconds.second:
            seconds.at(started)
        connect = r.connect
        connected = ',"connect":0.000000' if connect == 0.0 else f',"connect":{connect:.6f}' if connect > 0.0 else ""
        head = r.head
        accepted = ',"accept":0.000000' if head == 0.0 else f',"accept":{head:.6f}' if head > 0.0 else ""
        answered = f',"first_byte":{r.first_byte:.6f}' if r.first_byte >= 0 else ""
        spoken = _SPOKEN[r.server_protocol]
        more = f',"queue":{r.queue:.6f}' if r.queue >= 0 else ""
        if r.reason:
            more += f',"reason":"{r.reason}","detail":{_quoted(r.detail)}'
        facts = r.facts
        if facts is not None and facts.noted_by is self:
            request = facts.noted
        else:
            request = _json_request(r)
            if self._headers:
                request += _json_headers(r, self._headers)
            if facts is not None:
                facts.noted_by, facts.noted = self, request
        if r.h2_stream:
            more += f',"h2_stream":{r.h2_stream}'
        if r.attempts == 1:
            pass
        elif r.coalesced:
            more += ',"coalesced":true'
        elif r.hedged:
            more += f',"hedged":"{"won" if r.hedged == 2 else "lost"}"'
        if r.grpc:
            more += f',"grpc_status":{r.grpc_status}'
        if r.websocket is not None:
            more += _json_websocket(r.websocket)
        if r.notes:
            more += f',"notes":{json.dumps(r.notes, default=str)}'
        return (
            f'{{"time":"{seconds.iso}.{_MILLISECONDS[int((started - second) * 1000)]}Z","listener":"{r.listener}"'
            f',{request},"status":{r.status},"route":{_quoted(r.route)}'
            f',"pool":"{r.pool}","server":"{r.server}"{spoken},"attempts":{r.attempts},"bytes_in":{r.bytes_in}'
            f',"bytes_out":{r.bytes_out},"total":{r.total:.6f}{accepted}'
            f"{connected}{answered}{more}"
            f',"request_id":"{r.request_id}"}}'
        )

    def session(self, record: SessionRecord) -> str:
        """Return the line for a TCP session or UDP flow."""
        r = record
        more = ""
        if r.protocol == "udp":
            more = f',"datagrams_in":{r.datagrams_in},"datagrams_out":{r.datagrams_out}'
        if r.session_id:
            more += f',"session_id":"{r.session_id}"'
        if r.sni is not None:
            more += f',"sni":{_quoted(r.sni)},"alpn":[{",".join(map(_quoted, r.alpn))}]'
        if r.tls is not None:
            more += f',"tls":{_json_tls(r.tls)}'
        if r.queue >= 0:
            more += f',"queue":{r.queue:.6f}'
        if r.connect >= 0:
            more += f',"connect":{r.connect:.6f}'
        if r.reason:
            more += f',"reason":"{r.reason}","detail":{_quoted(r.detail)}'
        return (
            f'{{"time":"{self._seconds.at(r.started).iso}.{_MILLISECONDS[int(r.started % 1 * 1000)]}Z"'
            f',"protocol":"{r.protocol}","listener":"{r.listener}","client":"{r.client}","client_port":{r.client_port}'
            f',"route":{_quoted(r.route)},"pool":"{r.pool}","server":"{r.server}","attempts":{r.attempts}'
            f',"bytes_in":{r.bytes_in},"bytes_out":{r.bytes_out},"total":{r.total:.6f}{more}}}'
        )


@implementer(IAccessLogFormat)
class Clf:
    """The Common Log Format of NCSA httpd."""

    def __init__(self) -> None:
        self._seconds = _Seconds()

    def exchange(self, record: ExchangeRecord) -> str:
        """Return the line for an exchange."""
        r = record
        return (
            f"{r.client or 'unix'} - - [{self._seconds.at(r.started).clf}] "
            f'"{_escaped(r.method)} {_escaped(r.target)} HTTP/{r.version}" {r.status} {r.bytes_out or "-"}'
        )

    def session(self, record: SessionRecord) -> str:
        """Return a line for a session, in the same places: protocol and pool for the request, no status."""
        r = record
        return (
            f"{r.client or 'unix'} - - [{self._seconds.at(r.started).clf}] "
            f'"{r.protocol.upper()} {r.pool or "-"} {r.server or "-"}" - {r.bytes_out or "-"}'
        )


@implementer(IAccessLogFormat)
class Combined(Clf):
    """The Combined Log Format of Apache httpd: CLF with referrer and user agent."""

    def exchange(self, record: ExchangeRecord) -> str:
        """Return the line for an exchange."""
        referer = agent = "-"
        for name, value in record.headers:
            lowered = name.lower()
            if lowered == b"referer":
                referer = _escaped(value.decode("latin-1"))
            elif lowered == b"user-agent":
                agent = _escaped(value.decode("latin-1"))
        return f'{super().exchange(record)} "{referer}" "{agent}"'


def _ms(seconds: float) -> int:
    return -1 if seconds < 0 else int(seconds * 1000)


@implementer(IAccessLogFormat)
class Haproxy:
    """HAProxy's HTTP and TCP log formats, for the tools that read those (HAProxy manual, section 8.2).

    Its counters of connections are not kept per line here and are written as 0; the number of retries is.
    """

    def __init__(self) -> None:
        self._seconds = _Seconds()

    def exchange(self, record: ExchangeRecord) -> str:
        """Return the line for an exchange."""
        r = record
        when = f"{self._seconds.at(r.started).haproxy}.{int(r.started % 1 * 1000):03}"
        timers = (
            f"{_ms(r.head)}/{_ms(r.queue) if r.queue >= 0 else 0}/{_ms(r.connect)}/{_ms(r.first_byte)}/{_ms(r.total)}"
        )
        return (
            f"{r.client or 'unix'}:{r.client_port} [{when}] {r.listener} {r.pool or '<NOSRV>'}/{r.server or '<NOSRV>'} "
            f"{timers} {r.status} {r.bytes_out} - - {_termination(r.reason, r.server)} 0/0/0/0/{max(0, r.attempts - 1)} "
            f'0/0 "{_escaped(r.method)} {_escaped(r.target)} HTTP/{r.version}"'
        )

    def session(self, record: SessionRecord) -> str:
        """Return the line for a session."""
        r = record
        when = f"{self._seconds.at(r.started).haproxy}.{int(r.started % 1 * 1000):03}"
        return (
            f"{r.client or 'unix'}:{r.client_port} [{when}] {r.listener} {r.pool or '<NOSRV>'}/{r.server or '<NOSRV>'} "
            f"{_ms(r.queue) if r.queue >= 0 else 0}/{_ms(r.connect)}/{_ms(r.total)} {r.bytes_out} "
            f"{_termination(r.reason, r.server)[:2]} 0/0/0/0/{max(0, r.attempts - 1)} 0/0"
        )


_TERMINATIONS = {
    "": "----",
    "http_request_error": "CR--",
    "http_request_denied": "PR--",
    "destination_not_found": "PR--",
    "client_hello_timeout": "cR--",
    "client_hello_incomplete": "CR--",
    "destination_unavailable": "SC--",
    "dns_error": "SC--",
    "connection_refused": "SC--",
    "connection_timeout": "sC--",
    "connection_terminated": "SH--",
    "connection_read_timeout": "sD--",
    "connection_write_timeout": "sD--",
    "connection_limit_reached": "sQ--",
    "http_response_incomplete": "SD--",
    "http_response_timeout": "sH--",
    "http_protocol_error": "PH--",
}


def _termination(reason: str, server: str) -> str:
    """Return HAProxy's session state at disconnection that comes closest to ``reason``."""
    if reason == "http_request_error" and server:
        return "CD--"
    return _TERMINATIONS.get(reason, "PR--" if not server else "SD--")


@hookimpl
def balancer_access_log_formats() -> Iterable[IFactory]:
    """Return the built-in formats."""
    return (
        Factory("json", Json, JsonSettings),
        Factory("clf", lambda _: Clf()),
        Factory("combined", lambda _: Combined()),
        Factory("haproxy", lambda _: Haproxy()),
    )
