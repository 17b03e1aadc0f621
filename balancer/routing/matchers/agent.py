"""Kinds of clients by their ``User-Agent``, registered like a plug-in's matcher: ``match: {user_agent: [mobile, tablet]}``.

Who is who, ``ua-parser`` knows (the data of the uap-core project, new every month). It comes with ``pip install txbalancer[agents]``. What clients say of themselves
may be a lie: this chooses a view, it keeps nobody out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema
from zope.interface import implementer

from balancer.hooks.interfaces import Factory, IMatcher
from balancer.hooks.settings import Settings
from balancer.model.facts import RequestFacts

__all__ = ["USER_AGENT", "UserAgentMatcher", "kind_of"]

Kind = Literal["mobile", "tablet", "desktop", "tv", "bot", "other"]

_BOT = re.compile(r"(?i)bot\b|bot[/;_-]|spider|crawl|slurp|\bfetch|preview|scrap")
_TV = re.compile(r"(?i)\btv\b|smart-?tv|appletv|hbbtv|bravia|web0s|crkey|\baft[a-z]")
_PHONES = frozenset(
    ["iOS", "Windows Phone", "BlackBerry OS", "BlackBerry Tablet OS", "KaiOS", "Firefox OS", "Symbian OS", "HarmonyOS"]
)
_DESKTOPS = frozenset(["Windows", "Mac OS X", "Chrome OS", "Linux", "FreeBSD", "OpenBSD", "NetBSD", "Solaris"])
_LONGEST = 1024


@lru_cache(maxsize=1)
def _parser() -> Any:
    """Return the parser; reading its expressions takes some tenths of a second, once."""
    from ua_parser import Parser
    from ua_parser.loaders import load_builtins
    from ua_parser.re2 import Resolver

    return Parser(Resolver(load_builtins()))


@lru_cache(maxsize=4096)
def kind_of(agent: str) -> Kind:
    """Return what kind of client calls itself that; ``other`` where nothing is known (programs, libraries, nothing at all)."""
    text = agent[:_LONGEST]
    if not text:
        return "other"
    found = _parser().parse(text)
    family = found.device.family if found.device is not None else ""
    system = found.os.family if found.os is not None else ""
    if family == "Spider" or _BOT.search(text):
        return "bot"
    if _TV.search(text):
        return "tv"
    if "iPad" in family or "Tablet" in text or family.startswith("Kindle") or system == "BlackBerry Tablet OS":
        return "tablet"
    if system == "Android":
        return "mobile" if "Mobile" in text else "tablet"  # that is how they tell themselves apart
    if system in _PHONES or "Mobile" in text:
        return "mobile"
    if system in _DESKTOPS or "X11" in text:
        return "desktop"
    return "other"


def _many(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else (value,)


_KINDS = {"enum": ["mobile", "tablet", "desktop", "tv", "bot", "other"]}


class UserAgentSettings(Settings):
    """Kinds of clients, by what they call themselves."""

    kinds: Annotated[
        tuple[Kind, ...],
        BeforeValidator(_many),
        Field(min_length=1),
        WithJsonSchema({"oneOf": [_KINDS, {"type": "array", "items": _KINDS, "minItems": 1}]}),
    ] = Field(description="mobile (phones), tablet, desktop, tv, bot or other; a list means any of them.")


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class UserAgentMatcher:
    """Holds for clients of one of ``kinds``."""

    kinds: frozenset[str]
    kind: Callable[[str], str] = kind_of

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether the client is one."""
        return self.kind(facts.header("user-agent") or "") in self.kinds

    def describe(self) -> str:
        """Return ``User-Agent is mobile or tablet``."""
        return f"User-Agent is {' or '.join(sorted(self.kinds))}"


def _built(settings: UserAgentSettings) -> UserAgentMatcher:
    try:
        _parser()
    except ImportError:
        raise ValueError("ua-parser is needed to tell user agents apart: pip install 'txbalancer[agents]'") from None
    return UserAgentMatcher(frozenset(settings.kinds))


USER_AGENT = Factory("user_agent", _built, UserAgentSettings, "kinds")
