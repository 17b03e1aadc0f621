"""What rules may look at: the variables of one exchange, and which of them a rule means.

:class:`Facts` holds what is known of an exchange so far; :class:`Targets` is the ``ARGS|!ARGS:x`` of a rule, made once::

    Facts.pairs("ARGS") → [(b"x", b"1"), (b"y", b"2")]
    Targets(ARGS|!ARGS:x).gather(facts) → [("ARGS", b"y", b"2")]
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import re2

from balancer_crs.engine.bodies import Body, Values, cookies, urlencoded
from balancer_crs.engine.memory import Record
from balancer_crs.engine.messages import Request, Response
from balancer_crs.engine.patterns import options
from balancer_crs.lang.model import Variable

Target = tuple[str, bytes, bytes]
"""Variable, member (empty for one without), value."""

_UNESCAPE = re.compile(rb"%([0-9a-fA-F]{2})")
_SCHEME = re.compile(rb"[^/?#:]*:?//[^/?#]*")
MEMBERS = frozenset(("TX", "IP", "GLOBAL", "SESSION", "USER", "RESOURCE", "ENV"))
"""Collections that rules write to."""

_CHANGING = MEMBERS | {
    "MATCHED_VAR", "MATCHED_VARS", "MATCHED_VAR_NAME", "MATCHED_VARS_NAMES", "DURATION", "HIGHEST_SEVERITY", "RULE", "TIME", "TIME_DAY",
    "TIME_EPOCH", "TIME_HOUR", "TIME_MIN", "TIME_MON", "TIME_SEC", "TIME_WDAY", "TIME_YEAR", "REQBODY_PROCESSOR", "SESSIONID", "USERID",
    "MSC_PCRE_ERROR", "MSC_PCRE_LIMITS_EXCEEDED",
}  # fmt: skip
"""What may be something else within one phase."""


def decode(path: bytes) -> bytes:
    """Decode ``%41`` in a path; a ``+`` is a plus."""
    return _UNESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), path) if b"%" in path else path


class Facts:
    """What is known of one exchange.

    Args:
        request: its head.
        separator: between arguments.
        most_args: arguments that are kept.
        clock: seconds since the epoch.
    """

    def __init__(self, request: Request, separator: bytes, most_args: int, clock: Callable[[], float]) -> None:
        self._separator = separator
        self._most_args = most_args
        self._clock = clock
        self.started = clock()
        self.request = request
        self.too_many_args = False
        self.tx: dict[bytes, bytes] = {}
        self.env: dict[bytes, bytes] = {}
        self.records: dict[str, Record] = {}
        self.matched: list[tuple[bytes, bytes]] = []
        self.rule: Any = None
        self.highest_severity = 255
        self.xml: Any = None
        self.texts: dict[str, bytes] = {}
        self.lists: dict[str, Values] = {}
        self._read_target(request)
        self._read_headers(request)

    def _read_target(self, request: Request) -> None:
        target = request.target
        path, mark, query = target.partition(b"?")
        if path[:1] != b"/" and (found := _SCHEME.match(path)):
            path = path[found.end() :] or b"/"
            uri = path + mark + query
        else:
            uri = target
        name = decode(path.partition(b"#")[0])
        texts = self.texts
        texts["REQUEST_METHOD"] = request.method
        texts["REQUEST_PROTOCOL"] = request.protocol
        texts["REQUEST_LINE"] = b" ".join((request.method, target, request.protocol)).rstrip()
        texts["REQUEST_URI_RAW"] = target
        texts["REQUEST_URI"] = decode(uri)
        texts["REQUEST_FILENAME"] = texts["PATH_INFO"] = name
        cut = max(name.rfind(b"/"), name.rfind(b"\\"))
        texts["REQUEST_BASENAME"] = name[cut + 1 :]
        if mark:
            texts["QUERY_STRING"] = query
        texts["REMOTE_ADDR"] = texts["REMOTE_HOST"] = texts["USERAGENT_IP"] = request.client.encode()
        texts["REMOTE_PORT"] = b"%d" % request.client_port
        texts["SERVER_ADDR"] = request.server.encode()
        texts["SERVER_PORT"] = b"%d" % request.server_port
        texts["UNIQUE_ID"] = request.unique_id.encode()
        query_args = urlencoded(query, self._separator)
        if len(query_args) > self._most_args:
            self.too_many_args, query_args = True, query_args[: self._most_args]
        self.lists["ARGS_GET"] = query_args
        self._set_args([])

    def _read_headers(self, request: Request) -> None:
        found: Values = []
        for name, value in request.headers:
            lower = name.lower()
            if lower == b"cookie":
                found += cookies(value)
            elif lower == b"host":
                self.texts["SERVER_NAME"] = value.rsplit(b":", 1)[0] if not value.endswith(b"]") else value
            elif lower == b"authorization":
                self.texts["AUTH_TYPE"] = value.partition(b" ")[0]
        self.lists["REQUEST_HEADERS"] = list(request.headers)
        self.lists["REQUEST_COOKIES"] = found

    def _set_args(self, post: Values) -> None:
        lists = self.lists
        room = self._most_args - len(lists["ARGS_GET"])
        if len(post) > room:
            self.too_many_args, post = True, post[: max(room, 0)]
        lists["ARGS_POST"] = post
        both = lists["ARGS"] = lists["ARGS_GET"] + post
        self.texts["ARGS_COMBINED_SIZE"] = b"%d" % sum(len(name) + len(value) for name, value in both)

    def add_body(self, body: Body) -> None:
        """Take over what the body says."""
        self._set_args(body.args)
        self.xml = body.xml
        if body.part_headers or body.files:
            self.lists["FILES"] = body.files
            self.lists["FILES_NAMES"] = [(name, name) for name, _ in body.files]
            self.lists["FILES_SIZES"] = [(name, b"%d" % size) for name, size in body.sizes]
            self.lists["MULTIPART_PART_HEADERS"] = body.part_headers
            self.lists["MULTIPART_NAME"] = [(name, name) for name in body.part_names]
            self.lists["MULTIPART_FILENAME"] = [(name, file) for name, file in body.files]
        self.texts["FILES_COMBINED_SIZE"] = b"%d" % sum(size for _, size in body.sizes)
        for name, value in body.flags.items():
            self.texts[name] = b"%d" % value
        if body.bad_escapes:
            self.texts["URLENCODED_ERROR"] = b"1"

    def add_response(self, response: Response) -> None:
        """Take over the head of the response."""
        self.lists["RESPONSE_HEADERS"] = list(response.headers)
        texts = self.texts
        texts["RESPONSE_STATUS"] = b"%d" % response.status
        texts["RESPONSE_PROTOCOL"] = response.protocol
        texts["STATUS_LINE"] = b"%s %d" % (response.protocol, response.status)
        for name, value in response.headers:
            lower = name.lower()
            if lower == b"content-type":
                texts["RESPONSE_CONTENT_TYPE"] = value.partition(b";")[0].strip()
            elif lower == b"content-length":
                texts["RESPONSE_CONTENT_LENGTH"] = value

    def header(self, name: bytes) -> bytes | None:
        """Return the first request header of this name (small letters)."""
        for key, value in self.request.headers:
            if key.lower() == name:
                return value
        return None

    def members(self, name: str) -> dict[bytes, bytes]:
        """Return a collection that rules write to."""
        if name == "TX":
            return self.tx
        if name == "ENV":
            return self.env
        record = self.records.get(name)
        return record.current() if record is not None else {}

    def text(self, name: str) -> bytes | None:
        """Return the value of a variable without members; None if it has none now."""
        found = self.texts.get(name)
        if found is None and (compute := _COMPUTED.get(name)) is not None:
            return compute(self)
        return found

    def pairs(self, name: str) -> Sequence[tuple[bytes, bytes]]:
        """Return the members of a collection, in order."""
        found = self.lists.get(name)
        if found is not None:
            return found
        if name in MEMBERS:
            return list(self.members(name).items())
        if name.endswith("_NAMES") and (names := self.lists.get(_NAMED.get(name, name[:-6]))) is not None:
            made = self.lists[name] = [(key, key) for key, _ in names]
            return made
        if name == "MATCHED_VARS":
            return self.matched
        if name == "MATCHED_VARS_NAMES":
            return [(key, key) for key, _ in self.matched]
        if name == "RULE" and self.rule is not None:
            return [(key, value) for key in (b"id", b"msg", b"severity", b"rev") if (value := self._of_rule(key))]
        return ()

    def _of_rule(self, key: bytes) -> bytes:
        rule = self.rule
        value = {b"id": rule.id, b"msg": rule.msg, b"severity": rule.severity, b"rev": rule.rev}.get(key)
        return b"" if value is None else str(value).encode("utf-8", "surrogateescape")

    def forget(self, *names: str) -> None:
        """Let the lists of names be made anew."""
        for name in names:
            self.lists.pop(name, None)

    def first(self, name: str, key: bytes | None) -> bytes | None:
        """Return what a macro stands for."""
        if key is None:
            value = self.text(name)
            if value is None and (pairs := self.pairs(name)):
                return pairs[0][1]
            return value
        if name in MEMBERS:
            return self.members(name).get(key)
        if name == "XML":
            return None
        for member, value in self.pairs(name):
            if member.lower() == key:
                return value
        return None

    def seconds(self) -> float:
        """Return the time, in seconds since the epoch."""
        return self._clock()


_NAMED = {
    "ARGS_GET_NAMES": "ARGS_GET",
    "ARGS_POST_NAMES": "ARGS_POST",
    "REQUEST_COOKIES_NAMES": "REQUEST_COOKIES",
}
NAME_LISTS = ("ARGS_NAMES", "ARGS_POST_NAMES")
"""Lists of names that a body changes."""


def _time(layout: str) -> Callable[[Facts], bytes]:
    return lambda facts: time.strftime(layout, time.localtime(facts.seconds())).encode()


_COMPUTED: dict[str, Callable[[Facts], bytes | None]] = {
    "MATCHED_VAR": lambda facts: facts.matched[-1][1] if facts.matched else None,
    "MATCHED_VAR_NAME": lambda facts: facts.matched[-1][0] if facts.matched else None,
    "DURATION": lambda facts: b"%d" % ((facts.seconds() - facts.started) * 1e6),
    "HIGHEST_SEVERITY": lambda facts: b"%d" % facts.highest_severity,
    "TIME": _time("%H:%M:%S"),
    "TIME_DAY": _time("%d"),
    "TIME_EPOCH": lambda facts: b"%d" % facts.seconds(),
    "TIME_HOUR": _time("%H"),
    "TIME_MIN": _time("%M"),
    "TIME_MON": _time("%m"),
    "TIME_SEC": _time("%S"),
    "TIME_WDAY": _time("%w"),
    "TIME_YEAR": _time("%Y"),
    "FULL_REQUEST": lambda facts: _full_request(facts),
    "FULL_REQUEST_LENGTH": lambda facts: b"%d" % len(_full_request(facts)),
}


def _full_request(facts: Facts) -> bytes:
    head = b"".join(b"%s: %s\n" % pair for pair in facts.request.headers)
    return facts.texts["REQUEST_LINE"] + b"\n" + head + b"\n" + facts.texts.get("REQUEST_BODY", b"")


class Targets:
    """The variables of a rule, one object for each different list of them.

    Attributes:
        changing: whether they may be others within a phase.
        names: of the variables that are looked at.
    """

    __slots__ = ("_excluded", "_excluded_whole", "_plan", "changing", "names", "variables")

    def __init__(self, variables: tuple[Variable, ...]) -> None:
        self.variables = variables
        wanted = [each for each in variables if not each.exclude]
        self._excluded_whole = frozenset(
            each.name for each in variables if each.exclude and each.key is None and each.pattern is None
        )
        self._excluded = _tests(each for each in variables if each.exclude)
        self._plan = [(each, _key(each), _pattern(each)) for each in wanted if each.name not in self._excluded_whole]
        self.names = frozenset(each.name for each in wanted)
        self.changing = any(each.count or each.name in _CHANGING for each in wanted)

    def gather(self, facts: Facts) -> list[Target]:
        """Return what is to be looked at now."""
        found: list[Target] = []
        for variable, key, pattern in self._plan:
            name = variable.name
            if variable.count:
                found.append(("&" + name, key or b"", b"%d" % self._count(facts, name, key, pattern)))
                continue
            if name == "XML":
                if facts.xml is not None:
                    found += [("XML", b"", value) for value in facts.xml.values(variable.key or "/*")]
                continue
            text = facts.text(name)
            if text is not None:
                found.append((name, b"", text))
                continue
            found += self._members(facts, name, key, pattern)
        return found

    def _count(self, facts: Facts, name: str, key: bytes | None, pattern: _Chosen | None) -> int:
        if name == "XML":
            return int(facts.xml is not None)
        if facts.text(name) is not None:
            return 1
        return len(self._members(facts, name, key, pattern))

    def _members(self, facts: Facts, name: str, key: bytes | None, pattern: _Chosen | None) -> list[Target]:
        if key is not None:
            if name in MEMBERS:
                value = facts.members(name).get(key)
                return [] if value is None else [(name, key, value)]
            return [(name, member, value) for member, value in facts.pairs(name) if member.lower() == key]
        tests = self._excluded.get(name)
        pairs: Iterable[tuple[bytes, bytes]] = facts.members(name).items() if name in MEMBERS else facts.pairs(name)
        if pattern is not None:
            pairs = [pair for pair in pairs if pattern[pair[0]]]
        if tests is None:
            return [(name, member, value) for member, value in pairs]
        return [(name, member, value) for member, value in pairs if not tests(member)]

    def __repr__(self) -> str:
        return f"<Targets {'|'.join(map(str, self.variables))}>"


def without(found: list[Target], removed: Sequence[Variable]) -> list[Target]:
    """Return the targets that are not among the removed variables."""
    whole = {each.name for each in removed if each.key is None and each.pattern is None}
    tests = _tests(removed)
    return [
        each
        for each in found
        if each[0].lstrip("&") not in whole and not ((test := tests.get(each[0].lstrip("&"))) and test(each[1]))
    ]


def label(target: Target) -> str:
    """Return a target's name for people: ``ARGS:x``."""
    name, key, _ = target
    return f"{name}:{key.decode('utf-8', 'replace')}" if key else name


def label_bytes(target: Target) -> bytes:
    """Return a target's name for rules."""
    return b"%s:%s" % (target[0].encode(), target[1]) if target[1] else target[0].encode()


def _key(variable: Variable) -> bytes | None:
    return None if variable.key is None else variable.key.encode("utf-8", "surrogateescape").lower()


class _Chosen(dict[bytes, bool]):
    """Which names an expression finds: it is asked once for each, and most names come again."""

    def __init__(self, pattern: str) -> None:
        super().__init__()
        self._search = re2.compile(pattern.encode("utf-8", "surrogateescape"), options(case=False)).search

    def __missing__(self, member: bytes) -> bool:
        if len(self) >= _MOST_NAMES:
            self.clear()
        found = self[member] = self._search(member) is not None
        return found


_MOST_NAMES = 4096


def _pattern(variable: Variable) -> _Chosen | None:
    return None if variable.pattern is None else _Chosen(variable.pattern)


def _tests(variables: Any) -> dict[str, Callable[[bytes], bool]]:
    """Return, by variable, a test whether a member is meant."""
    keys: dict[str, set[bytes]] = {}
    patterns: dict[str, list[_Chosen]] = {}
    for each in variables:
        if (key := _key(each)) is not None:
            keys.setdefault(each.name, set()).add(key)
        elif (pattern := _pattern(each)) is not None:
            patterns.setdefault(each.name, []).append(pattern)
    return {
        name: _test(frozenset(keys.get(name, ())), patterns.get(name, [])) for name in keys.keys() | patterns.keys()
    }


def _test(keys: frozenset[bytes], patterns: list[_Chosen]) -> Callable[[bytes], bool]:
    def meant(member: bytes) -> bool:
        return member.lower() in keys or any(pattern[member] for pattern in patterns)

    return meant
