"""What rule files say, as values: rules, markers, the engine's settings. Read by nobody but their reader; run elsewhere.

Everything is resolved as far as it can be without a request: names are canonical, defaults of ``SecDefaultAction`` are
merged, ``block`` has become what it stands for, data files are read, macros are cut into pieces::

    SecRule ARGS|!ARGS:note "@rx %{tx.word}" "id:1,phase:2,t:none,t:lowercase,deny,setvar:tx.n=+1"
            │                │               │
            Variable         Operator        Rule.transformations, .disruption, .effects …

Texts are ``str``; bytes of a file that are no UTF-8 are surrogate escapes: ``encode("utf-8", "surrogateescape")`` gives the
file's bytes again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

__all__ = [
    "Ctl",
    "Default",
    "Disruption",
    "Effect",
    "EngineSettings",
    "ExpireVar",
    "InitCol",
    "Marker",
    "Note",
    "Operator",
    "Piece",
    "Reference",
    "Rule",
    "RuleSet",
    "SetEnv",
    "SetVar",
    "Text",
    "Variable",
    "Where",
]

Switch = Literal["On", "Off", "DetectionOnly"]


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a rule file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Reference:
    """A macro: ``%{TX.foo}`` has the variable ``TX`` and the key ``foo``, ``%{MATCHED_VAR}`` no key."""

    variable: str
    key: str | None = None

    def __str__(self) -> str:
        return f"%{{{self.variable}}}" if self.key is None else f"%{{{self.variable}.{self.key}}}"


Piece = str | Reference
"""Literal text, or what a variable holds at the time."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text with macros, in pieces."""

    pieces: tuple[Piece, ...] = ()

    @property
    def constant(self) -> str | None:
        """The text if no macro is in it, else None."""
        if not self.pieces:
            return ""
        return self.pieces[0] if len(self.pieces) == 1 and isinstance(self.pieces[0], str) else None

    @property
    def references(self) -> tuple[Reference, ...]:
        """Its macros."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Reference))

    def __str__(self) -> str:
        return "".join(map(str, self.pieces))


@dataclass(frozen=True, slots=True)
class Variable:
    """What a rule looks at, or leaves out.

    Attributes:
        name: canonical, in capitals: ``ARGS``, ``REQUEST_HEADERS``, ``TX``.
        key: the one member of a collection, as written (names of members are compared without regard to case).
        pattern: RE2 expression (case-insensitive, searched) of the names of members: ``ARGS:/^a/``. Never together with ``key``.
        count: ``&ARGS``: how many there are, instead of what they are.
        exclude: ``!ARGS:x``: not this one.
    """

    name: str
    key: str | None = None
    pattern: str | None = None
    count: bool = False
    exclude: bool = False

    def __str__(self) -> str:
        member = f":{self.key}" if self.key is not None else f":/{self.pattern}/" if self.pattern is not None else ""
        return f"{'!' if self.exclude else ''}{'&' if self.count else ''}{self.name}{member}"


@dataclass(frozen=True, slots=True)
class Operator:
    """How a value is judged.

    Attributes:
        name: canonical: ``rx``, ``pm``, ``pmFromFile``, ``ipMatch``…, without the ``@``.
        negated: ``!@rx``: holds where it does not match.
        argument: as written; an expression that only looks as if it had a macro has none.
        entries: of ``pm`` and ``pmFromFile`` the phrases (Snort's ``|41 42|`` decoded), of ``ipMatch`` and ``ipMatchFromFile`` the
            networks as text, in order, without repetition.
    """

    name: str
    negated: bool = False
    argument: Text = Text()
    entries: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{'!' if self.negated else ''}@{self.name} {self.argument}".rstrip()


Kind = Literal["pass", "deny", "drop", "redirect", "allow"]


@dataclass(frozen=True, slots=True)
class Disruption:
    """What becomes of the exchange when a rule matches.

    Attributes:
        kind: ``block`` never stands here: it has become the phase's default.
        status: of the answer; None: 403 for ``deny``, 302 for ``redirect``.
        url: of ``redirect``.
        scope: of ``allow``: the whole exchange but the log phase, this phase, or the request phases.
        block: whether the rule said ``block``.
    """

    kind: Kind = "pass"
    status: int | None = None
    url: Text | None = None
    scope: Literal["all", "phase", "request"] = "all"
    block: bool = False


@dataclass(frozen=True, slots=True)
class SetVar:
    """``setvar:tx.name=+1``.

    Attributes:
        collection: ``TX``, ``IP``, ``GLOBAL``, ``SESSION``, ``USER``, ``RESOURCE``.
        key: name of the member, perhaps with macros; compared without regard to case.
        operation: ``add`` and ``subtract`` take both sides as integers, 0 where they are none.
        value: of ``unset`` empty.
    """

    collection: str
    key: Text
    operation: Literal["set", "add", "subtract", "unset"]
    value: Text = Text()


@dataclass(frozen=True, slots=True)
class ExpireVar:
    """``expirevar:ip.name=60``: the member is forgotten after so many seconds."""

    collection: str
    key: Text
    seconds: Text


@dataclass(frozen=True, slots=True)
class InitCol:
    """``initcol:ip=%{REMOTE_ADDR}`` (``setsid``, ``setuid``, ``setrsc`` too): which record of a persistent collection is meant."""

    collection: str
    key: Text


@dataclass(frozen=True, slots=True)
class SetEnv:
    """``setenv:name=value``; kept with the exchange under ``ENV``."""

    name: Text
    value: Text


@dataclass(frozen=True, slots=True)
class Ctl:
    """``ctl:name=value``: a change for the rest of this exchange.

    Attributes:
        name: canonical: ``ruleRemoveById``, ``ruleRemoveTargetByTag``, ``ruleEngine``, ``requestBodyProcessor``…
        value: what follows the ``=``, before a ``;``; switches canonical (``On``, ``Off``, ``DetectionOnly``), body processors in capitals.
        ranges: of the ``…ById`` kinds, first and last id included.
        target: of the ``ruleRemoveTarget…`` kinds: what is no longer looked at (its ``exclude`` is False).
    """

    name: str
    value: str
    ranges: tuple[tuple[int, int], ...] = ()
    target: Variable | None = None


Effect = SetVar | ExpireVar | InitCol | SetEnv | Ctl


@dataclass(frozen=True, slots=True)
class Rule:
    """A ``SecRule``, or a ``SecAction`` (no operator: it always matches), with the rules chained to it.

    Attributes:
        id: 0 in a rule of a chain that is not the first and has none.
        phase: 1 request head, 2 request body, 3 response head, 4 response body, 5 log; that of a chain's first rule in all of it.
        variables: none for SecAction.
        transformations: canonical names in order, those of the default actions first unless ``t:none`` took them away.
        multi_match: judge before the first and after each transformation that changed something.
        capture: groups of ``rx`` (or what ``pm`` found) go to ``TX.0`` … ``TX.9``.
        disruption: of a chain's first rule: what is done when all of the chain matched.
        effects: in the order written; done for each match of this rule, in a chain before the next rule is looked at.
        skip: number of rules of this phase to leave out after this one.
        skip_after: name of the marker (or id of the rule) after which this phase goes on.
        log, audit: whether a match is told, and makes the exchange one for the audit log.
        severity: 0 emergency … 7 debug.
        chain: the rules after the first, in order, each with an empty ``chain``.
    """

    id: int
    phase: int
    where: Where
    variables: tuple[Variable, ...] = ()
    operator: Operator | None = None
    transformations: tuple[str, ...] = ()
    multi_match: bool = False
    capture: bool = False
    disruption: Disruption = Disruption()
    effects: tuple[Effect, ...] = ()
    skip: int = 0
    skip_after: str | None = None
    log: bool = True
    audit: bool = True
    tags: tuple[str, ...] = ()
    msg: Text | None = None
    logdata: Text | None = None
    severity: int | None = None
    ver: str = ""
    rev: str = ""
    maturity: int | None = None
    accuracy: int | None = None
    sanitised: tuple[str, ...] = ()
    """Which arguments, ``ARGS:x``, ``REQUEST_HEADERS:x`` or ``matched``, the audit log hides."""
    chain: tuple[Rule, ...] = ()

    @property
    def links(self) -> tuple[Rule, ...]:
        """This rule and those chained to it."""
        return (self, *self.chain)

    def __repr__(self) -> str:
        return f"<Rule {self.id} phase {self.phase} {self.where}>"


@dataclass(frozen=True, slots=True)
class Marker:
    """``SecMarker NAME``: where a ``skipAfter:NAME`` of any phase goes on."""

    name: str
    where: Where


@dataclass(frozen=True, slots=True)
class Default:
    """``SecDefaultAction`` of one phase."""

    disruption: Disruption = Disruption()
    transformations: tuple[str, ...] = ()
    log: bool = True
    audit: bool = True
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What is said once for all rules. Sizes in bytes, times in seconds; ModSecurity's defaults."""

    rule_engine: Switch = "On"
    request_body_access: bool = True
    request_body_limit: int = 13107200
    request_body_no_files_limit: int = 131072
    request_body_limit_action: Literal["Reject", "ProcessPartial"] = "Reject"
    request_body_json_depth_limit: int = 512
    arguments_limit: int = 1000
    response_body_access: bool = False
    response_body_limit: int = 524288
    response_body_limit_action: Literal["Reject", "ProcessPartial"] = "ProcessPartial"
    response_body_mime_types: tuple[str, ...] = ("text/plain", "text/html")
    upload_file_limit: int = 100
    argument_separator: str = "&"
    cookie_format: Literal[0, 1] = 0
    collection_timeout: int = 3600
    component_signatures: tuple[str, ...] = ()
    audit_engine: Literal["On", "Off", "RelevantOnly"] = "RelevantOnly"
    audit_log_relevant_status: str | None = None
    audit_log_parts: str = "ABIJDEFHZ"
    server_signature: str | None = None
    web_app_id: str | None = None
    defaults: Mapping[int, Default] = field(default_factory=lambda: MappingProxyType({}))
    """``SecDefaultAction`` by phase, already merged into the rules."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something to tell the operator at load that is no error: a directive that means nothing here, an exclusion that hits no rule."""

    where: Where
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All of it: rules and markers in the order of the files."""

    items: tuple[Rule | Marker, ...] = ()
    settings: EngineSettings = EngineSettings()
    notes: tuple[Note, ...] = ()

    @property
    def rules(self) -> Iterator[Rule]:
        """The rules without the markers, chains as one."""
        return (item for item in self.items if isinstance(item, Rule))

    def phase(self, number: int) -> tuple[Rule | Marker, ...]:
        """Return the rules of one phase, and all markers."""
        return tuple(item for item in self.items if isinstance(item, Marker) or item.phase == number)

    def __repr__(self) -> str:
        return f"<RuleSet of {sum(1 for _ in self.rules)} rules>"
