"""Directives that are settings of the engine: one field each, or nothing that means anything here, which is told."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from balancer_crs.lang.errors import RuleError
from balancer_crs.lang.model import EngineSettings
from balancer_crs.lang.reading import Directive

__all__ = ["NAMES", "with_setting"]

MEANINGLESS = {
    name.lower(): (name, why)
    for names, why in (
        (
            """SecAuditLog SecAuditLog2 SecAuditLogDirMode SecAuditLogFileMode SecAuditLogFormat SecAuditLogStorageDir SecAuditLogType
            SecAuditLogPrefix SecDebugLog SecDebugLogLevel SecGuardianLog""",
            "where and how things are told is set in the balancer's configuration",
        ),
        (
            """SecDataDir SecTmpDir SecTmpSaveUploadedFiles SecUploadDir SecUploadFileMode SecUploadKeepFiles SecRequestBodyInMemoryLimit""",
            "nothing is written to files",
        ),
        (
            """SecPcreMatchLimit SecPcreMatchLimitRecursion SecCacheTransformations SecRulePerfTime SecStreamInBodyInspection
            SecStreamOutBodyInspection""",
            "the engine does not work that way: expressions run in linear time",
        ),
        (
            """SecStatusEngine SecSensorId SecRuleInheritance SecInterceptOnError SecDisableBackendCompression
            SecConnReadStateLimit SecConnWriteStateLimit SecReadStateLimit SecWriteStateLimit SecConnEngine SecHttpBlKey SecGsbLookupDb
            SecUnicodeCodePage SecUnicodeMapFile SecChrootDir SecCollectionGCFrequency SecHashMethodRx SecHashMethodPm SecHashKey
            SecHashParam SecGeoLookupDb""",
            "it has no meaning here",
        ),
    )
    for name in names.split()
}
"""By name in small letters: the canonical name, and why it does nothing."""

REFUSED = {
    "secrulescript": "SecRuleScript is not supported: no scripts are run for a request",
    "secremoterules": "SecRemoteRules is not supported: rules are read from files, fetched with their checksum",
    "secremoterulesfailaction": "SecRemoteRulesFailAction is not supported: rules are read from files",
}

_OFF_ONLY = {
    "sechashengine": "SecHashEngine",
    "seccontentinjection": "SecContentInjection",
    "secxmlexternalentity": "SecXmlExternalEntity",
}
"""What can only be off."""


def _one(directive: Directive) -> str:
    if len(directive.words) != 1:
        raise RuleError(directive.where, f"expected one value after {directive.name}, not {len(directive.words)}")
    return directive.words[0].text


def _replaced(settings: EngineSettings, field: str, value: Any) -> EngineSettings:
    return replace(settings, **{field: value})


def _choice(field: str, *choices: str | tuple[str, Any]) -> Callable[[EngineSettings, Directive], EngineSettings]:
    values = {(c if isinstance(c, str) else c[0]).lower(): (c if isinstance(c, str) else c[1]) for c in choices}

    def change(settings: EngineSettings, directive: Directive) -> EngineSettings:
        text = _one(directive)
        if text.lower() not in values:
            names = ", ".join(c if isinstance(c, str) else c[0] for c in choices)
            raise RuleError(directive.words[0].where(), f"expected {directive.name} {names}, not {text!r}")
        return _replaced(settings, field, values[text.lower()])

    return change


def _number(field: str, most: int) -> Callable[[EngineSettings, Directive], EngineSettings]:
    def change(settings: EngineSettings, directive: Directive) -> EngineSettings:
        text = _one(directive)
        if not re.fullmatch(r"[0-9]{1,12}", text) or int(text) > most:
            reason = f"expected {directive.name} and a number, {most} at most, not {text!r}"
            raise RuleError(directive.words[0].where(), reason)
        return _replaced(settings, field, int(text))

    return change


def _text(field: str) -> Callable[[EngineSettings, Directive], EngineSettings]:
    return lambda settings, directive: _replaced(settings, field, _one(directive))


def _signature(settings: EngineSettings, directive: Directive) -> EngineSettings:
    return replace(settings, component_signatures=(*settings.component_signatures, _one(directive)))


def _separator(settings: EngineSettings, directive: Directive) -> EngineSettings:
    text = _one(directive)
    if len(text) != 1 or not text.isascii():
        raise RuleError(directive.words[0].where(), f"expected one character, not {text!r}")
    return replace(settings, argument_separator=text)


def _types(settings: EngineSettings, directive: Directive) -> EngineSettings:
    if not directive.words:
        raise RuleError(directive.where, "expected media types")
    return replace(settings, response_body_mime_types=tuple(word.text.lower() for word in directive.words))


def _no_types(settings: EngineSettings, directive: Directive) -> EngineSettings:
    if directive.words:
        raise RuleError(directive.where, f"expected nothing after {directive.name}")
    return replace(settings, response_body_mime_types=())


_ON_OFF = (("On", True), ("Off", False))
_GIB = 1 << 30

SETTINGS: dict[str, tuple[str, Callable[[EngineSettings, Directive], EngineSettings]]] = {
    name.lower(): (name, change)
    for name, change in {
        "SecArgumentSeparator": _separator,
        "SecArgumentsLimit": _number("arguments_limit", 1_000_000),
        "SecAuditEngine": _choice("audit_engine", "On", "Off", "RelevantOnly"),
        "SecAuditLogParts": _text("audit_log_parts"),
        "SecAuditLogRelevantStatus": _text("audit_log_relevant_status"),
        "SecCollectionTimeout": _number("collection_timeout", 10 * 365 * 86400),
        "SecComponentSignature": _signature,
        "SecCookieFormat": _choice("cookie_format", ("0", 0), ("1", 1)),
        "SecRequestBodyAccess": _choice("request_body_access", *_ON_OFF),
        "SecRequestBodyJsonDepthLimit": _number("request_body_json_depth_limit", 10_000),
        "SecRequestBodyLimit": _number("request_body_limit", _GIB),
        "SecRequestBodyLimitAction": _choice("request_body_limit_action", "Reject", "ProcessPartial"),
        "SecRequestBodyNoFilesLimit": _number("request_body_no_files_limit", _GIB),
        "SecResponseBodyAccess": _choice("response_body_access", *_ON_OFF),
        "SecResponseBodyLimit": _number("response_body_limit", _GIB),
        "SecResponseBodyLimitAction": _choice("response_body_limit_action", "Reject", "ProcessPartial"),
        "SecResponseBodyMimeType": _types,
        "SecResponseBodyMimeTypesClear": _no_types,
        "SecRuleEngine": _choice("rule_engine", "On", "Off", "DetectionOnly"),
        "SecServerSignature": _text("server_signature"),
        "SecUploadFileLimit": _number("upload_file_limit", 1_000_000),
        "SecWebAppId": _text("web_app_id"),
    }.items()
}


def with_setting(settings: EngineSettings, directive: Directive) -> tuple[EngineSettings, str] | None:
    """Return the settings with a directive obeyed, and what to note of it; None if it is no setting.

    Raises:
        RuleError: its value is none, or it is not supported.
    """
    low = directive.name.lower()
    if low in REFUSED:
        raise RuleError(directive.where, REFUSED[low])
    if low in _OFF_ONLY:
        if _one(directive).lower() != "off":
            raise RuleError(directive.where, f"{_OFF_ONLY[low]} is not supported but Off")
        return settings, ""
    if low in MEANINGLESS:
        name, why = MEANINGLESS[low]
        return settings, f"{name} is not heeded: {why}"
    if low not in SETTINGS:
        return None
    return SETTINGS[low][1](settings, directive), ""


NAMES = [name for name, _ in (*SETTINGS.values(), *MEANINGLESS.values())] + list(_OFF_ONLY.values())
"""All of them, for hints."""
