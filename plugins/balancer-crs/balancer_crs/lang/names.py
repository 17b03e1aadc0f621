"""The words of the language: canonical names by the way they may be written, and why some are refused.

From ModSecurity's reference manual, versions 2 and 3. What is refused is refused by name, with the reason: nobody is to
wonder why a misspelling is suspected.
"""

from __future__ import annotations

__all__ = [
    "ACTIONS",
    "BODY_PROCESSORS",
    "COLLECTIONS",
    "CTLS",
    "OPERATORS",
    "PERSISTENT",
    "REFUSED_ACTIONS",
    "REFUSED_OPERATORS",
    "REFUSED_TRANSFORMATIONS",
    "REFUSED_VARIABLES",
    "SEVERITIES",
    "TRANSFORMATIONS",
    "VARIABLES",
]


def _table(names: str, **aliases: str) -> dict[str, str]:
    return {name.lower(): name for name in names.split()} | {alias.lower(): name for alias, name in aliases.items()}


OPERATORS = _table(
    """beginsWith contains containsWord detectSQLi detectXSS endsWith eq ge geoLookup gt ipMatch ipMatchFromFile le lt noMatch
    pm pmFromFile rbl rx rxGlobal streq strmatch unconditionalMatch validateByteRange validateUrlEncoding validateUtf8Encoding
    verifyCC verifyCPF verifySSN verifySVNR within""",
    ipMatchF="ipMatchFromFile",
    pmf="pmFromFile",
)

REFUSED_OPERATORS = {
    "fuzzyhash": "fuzzy hashes are not computed",
    "gsblookup": "Google's old list is no more",
    "inspectfile": "no program is run for a request",
    "rsub": "bodies are not changed by rules",
    "validatedtd": "documents are not validated",
    "validatehash": "links are not signed",
    "validateschema": "documents are not validated",
}

_MEMBERS = """ARGS ARGS_GET ARGS_GET_NAMES ARGS_NAMES ARGS_POST ARGS_POST_NAMES ENV FILES FILES_NAMES FILES_SIZES FILES_TMPNAMES
FILES_TMP_CONTENT GEO GLOBAL IP MATCHED_VARS MATCHED_VARS_NAMES MULTIPART_FILENAME MULTIPART_NAME MULTIPART_PART_HEADERS
REQUEST_COOKIES REQUEST_COOKIES_NAMES REQUEST_HEADERS REQUEST_HEADERS_NAMES RESOURCE RESPONSE_ARGS RESPONSE_HEADERS
RESPONSE_HEADERS_NAMES RULE SESSION TX USER XML"""

COLLECTIONS = frozenset(_MEMBERS.split())
"""Variables that have members."""

VARIABLES = _table(
    _MEMBERS
    + """ ARGS_COMBINED_SIZE AUTH_TYPE DURATION FILES_COMBINED_SIZE FULL_REQUEST FULL_REQUEST_LENGTH HIGHEST_SEVERITY
    INBOUND_DATA_ERROR MATCHED_VAR MATCHED_VAR_NAME MODSEC_BUILD MSC_PCRE_ERROR MSC_PCRE_LIMITS_EXCEEDED
    MULTIPART_BOUNDARY_QUOTED MULTIPART_BOUNDARY_WHITESPACE MULTIPART_CRLF_LF_LINES MULTIPART_DATA_AFTER
    MULTIPART_DATA_BEFORE MULTIPART_FILE_LIMIT_EXCEEDED MULTIPART_HEADER_FOLDING MULTIPART_INVALID_HEADER_FOLDING
    MULTIPART_INVALID_PART MULTIPART_INVALID_QUOTING MULTIPART_LF_LINE MULTIPART_MISSING_SEMICOLON
    MULTIPART_SEMICOLON_MISSING MULTIPART_STRICT_ERROR MULTIPART_UNMATCHED_BOUNDARY OUTBOUND_DATA_ERROR PATH_INFO
    QUERY_STRING REMOTE_ADDR REMOTE_HOST REMOTE_PORT REMOTE_USER REQBODY_ERROR REQBODY_ERROR_MSG REQBODY_PROCESSOR
    REQBODY_PROCESSOR_ERROR REQBODY_PROCESSOR_ERROR_MSG REQUEST_BASENAME REQUEST_BODY REQUEST_BODY_LENGTH REQUEST_FILENAME
    REQUEST_LINE REQUEST_METHOD REQUEST_PROTOCOL REQUEST_URI REQUEST_URI_RAW RESPONSE_BODY RESPONSE_CONTENT_LENGTH
    RESPONSE_CONTENT_TYPE RESPONSE_PROTOCOL RESPONSE_STATUS SERVER_ADDR SERVER_NAME SERVER_PORT SESSIONID
    STATUS_LINE STREAM_INPUT_BODY STREAM_OUTPUT_BODY TIME TIME_DAY TIME_EPOCH TIME_HOUR TIME_MIN TIME_MON TIME_SEC TIME_WDAY
    TIME_YEAR UNIQUE_ID URLENCODED_ERROR USERAGENT_IP USERID WEBAPPID WEBSERVER_ERROR_LOG""",
    REQBODY_PROCESSOR_ERR="REQBODY_PROCESSOR_ERROR",
)

REFUSED_VARIABLES = {
    "PERF_ALL": "times are told by the metrics",
    "PERF_COMBINED": "times are told by the metrics",
    "PERF_GC": "times are told by the metrics",
    "PERF_LOGGING": "times are told by the metrics",
    "PERF_PHASE1": "times are told by the metrics",
    "PERF_PHASE2": "times are told by the metrics",
    "PERF_PHASE3": "times are told by the metrics",
    "PERF_PHASE4": "times are told by the metrics",
    "PERF_PHASE5": "times are told by the metrics",
    "PERF_RULES": "times are told by the metrics",
    "PERF_SREAD": "times are told by the metrics",
    "PERF_SWRITE": "times are told by the metrics",
    "SCRIPT_BASENAME": "no script of this machine answers",
    "SCRIPT_FILENAME": "no script of this machine answers",
    "SCRIPT_GID": "no script of this machine answers",
    "SCRIPT_GROUPNAME": "no script of this machine answers",
    "SCRIPT_MODE": "no script of this machine answers",
    "SCRIPT_UID": "no script of this machine answers",
    "SCRIPT_USERNAME": "no script of this machine answers",
    "SDBM_DELETE_ERROR": "collections are kept in memory",
}

TRANSFORMATIONS = _table(
    """base64Decode base64DecodeExt base64Encode cmdLine compressWhitespace cssDecode escapeSeqDecode hexDecode hexEncode
    htmlEntityDecode jsDecode length lowercase md5 none normalizePath normalizePathWin parityEven7bit parityOdd7bit
    parityZero7bit removeComments removeCommentsChar removeNulls removeWhitespace replaceComments replaceNulls sha1 sqlHexDecode
    trim trimLeft trimRight uppercase urlDecode urlDecodeUni urlEncode utf8toUnicode""",
    normalisePath="normalizePath",
    normalisePathWin="normalizePathWin",
)

REFUSED_TRANSFORMATIONS: dict[str, str] = {}

ACTIONS = _table(
    """accuracy allow auditlog block capture chain ctl deny drop expirevar id initcol log logdata maturity msg multiMatch
    noauditlog nolog pass phase redirect rev sanitiseArg sanitiseMatched sanitiseMatchedBytes sanitiseRequestHeader
    sanitiseResponseHeader setenv setrsc setsid setuid setvar severity skip skipAfter status t tag ver""",
    sanitizeArg="sanitiseArg",
    sanitizeMatched="sanitiseMatched",
    sanitizeMatchedBytes="sanitiseMatchedBytes",
    sanitizeRequestHeader="sanitiseRequestHeader",
    sanitizeResponseHeader="sanitiseResponseHeader",
)

REFUSED_ACTIONS = {
    "append": "bodies are not changed by rules",
    "deprecatevar": "a value that fades is not kept; expirevar forgets it at a time",
    "exec": "no program is run for a request",
    "pause": "requests are not held up; a rate limit does it better",
    "prepend": "bodies are not changed by rules",
    "proxy": "routes say where a request goes",
    "xmlns": "paths into documents know no name spaces",
}

CTLS = _table(
    """auditEngine auditLogParts forceRequestBodyVariable requestBodyAccess requestBodyLimit
    requestBodyProcessor responseBodyAccess responseBodyLimit ruleEngine ruleRemoveById ruleRemoveByMsg ruleRemoveByTag
    ruleRemoveTargetById ruleRemoveTargetByMsg ruleRemoveTargetByTag"""
)

BODY_PROCESSORS = frozenset({"URLENCODED", "MULTIPART", "JSON", "XML"})

PERSISTENT = frozenset({"GLOBAL", "IP", "RESOURCE", "SESSION", "USER"})
"""Collections that outlive the exchange."""

SEVERITIES = {
    name: number
    for number, name in enumerate(("EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"))
}
