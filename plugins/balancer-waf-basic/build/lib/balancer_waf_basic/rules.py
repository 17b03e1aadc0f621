r"""The rules: what an attack looks like, and how sure that is. A score of 5 is enough for the filter's default threshold.

Written for RE2 (no look-around, no back-references), case ignored. ``\s`` stands where attackers also write comments
and plus signs: see :data:`_S`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RULES", "Rule"]

_S = r"(?:\s|/\*[^*]*\*/|\+)"


@dataclass(frozen=True, slots=True)
class Rule:
    """One pattern, the score of a hit, and what it means."""

    name: str
    score: int
    message: str
    pattern: str


_SQLI = (
    Rule("union", 5, "UNION SELECT", rf"\bunion{_S}+(?:all{_S}+|distinct{_S}+)?\(?{_S}*select\b"),
    Rule(
        "tautology",
        5,
        "a condition that is always true",
        rf"(?:['\"`)]|\b\d+){_S}*(?:\bor\b|\band\b|\|\||&&){_S}*\(*{_S}*(?:'[^']*'|\"[^\"]*\"|\d+|true){_S}*(?:=|<|>|\blike\b|!=){_S}*\(*['\"]?\w*",
    ),
    Rule(
        "quoted-or",
        5,
        "a condition behind a quote",
        rf"['\"]{_S}*(?:\bor\b|\band\b|\|\||&&){_S}*['\"]?\w+['\"]?{_S}*(?:(?:=|\blike\b){_S}*['\"]?\w|\bis{_S}+(?:not{_S}+)?null\b|\bin{_S}*\()",
    ),
    Rule(
        "stacked",
        5,
        "a second statement",
        rf";{_S}*(?:drop|alter|create|truncate|insert{_S}+into|delete{_S}+from|update{_S}+\w+{_S}+set|exec|execute|shutdown|declare){_S}+\w",
    ),
    Rule("comment", 5, "a comment behind a quote", r"\w?['\"`]\s*\)*\s*(?:--(?:\s|$|-|\+)|#\s*$|/\*)"),
    Rule(
        "function",
        5,
        "a function that waits, or reads files",
        r"\b(?:sleep|pg_sleep|benchmark|load_file|extractvalue|updatexml|xp_cmdshell|utl_http\.request)\s*\(|\bwaitfor\s+delay\s*'",
    ),
    Rule(
        "catalogue",
        5,
        "the database's own tables",
        r"\b(?:information_schema\s*\.|pg_catalog\s*\.|sqlite_master\b|sys\.(?:tables|objects|columns)\b|mysql\.user\b)",
    ),
    Rule(
        "quoted-comment",
        5,
        "a condition behind a quote, then a comment",
        rf"['\"]{_S}*(?:\bor\b|\band\b|\|\||&&)[^'\"]+(?:--|#|/\*)",
    ),
    Rule("outfile", 5, "SELECT INTO OUTFILE", rf"\binto{_S}+(?:out|dump)file\b"),
    Rule("select-where", 3, "a SELECT statement", rf"\bselect{_S}+[\w*,.()\s]+{_S}+from{_S}+[\w.]+{_S}+where\b"),
    Rule(
        "order-by-comment", 5, "ORDER BY a column's number and a comment", rf"\border{_S}+by{_S}+\d+{_S}*(?:--|#|/\*)"
    ),
    Rule("order-by", 3, "ORDER BY a column's number", rf"['\")\d]{_S}+order{_S}+by{_S}+\d+"),
)

_EVENT = r"on(?:abort|animation\w+|begin|end|repeat|before\w+|blur|change|click|contextmenu|copy|cut|dblclick|drag\w*|drop|error|focus\w*|hashchange|input|invalid|key\w+|load\w*|message|mouse\w+|page\w+|paste|pointer\w+|popstate|reset|resize|scroll|search|select|show|start|submit|toggle|touch\w+|transition\w+|unload|wheel)"

_XSS = (
    Rule("script", 5, "a script element", r"<\s*/?\s*script\b"),
    Rule("event", 5, "an event handler in an element", rf"<[a-z!/][^>]*[\s/'\"]{_EVENT}\s*="),
    Rule("attribute", 5, "an event handler behind a quote", rf"['\"]\s*[\s/>]{_EVENT}\s*=\s*\S"),
    Rule(
        "url",
        5,
        "a script URL",
        r"\b(?:java|vb|live)\s*script\s*:\s*[\w(%'\"/`]|data\s*:\s*(?:text/html|image/svg\+xml|application/xhtml)",
    ),
    Rule(
        "frame",
        5,
        "an element that brings another document in",
        r"<\s*(?:iframe|object|embed|applet|base|meta|frameset|portal)\b[^>]*[\s/>]",
    ),
    Rule(
        "svg",
        5,
        "SVG or MathML with behaviour",
        r"<\s*(?:svg|math)\b[^>]*(?:<|xlink:href|href\s*=\s*['\"]?\s*javascript)",
    ),
    Rule("srcdoc", 5, "an embedded document", r"\bsrcdoc\s*=\s*['\"]?\s*[<&]"),
    Rule(
        "dom",
        3,
        "access to the page",
        r"\bdocument\s*(?:\.|\[)\s*['\"]?(?:cookie|location|write|domain)\b|\bwindow\s*\.\s*(?:location|name)\s*=|\blocalstorage\s*\.",
    ),
    Rule(
        "call",
        3,
        "a call of a script",
        r"\b(?:alert|confirm|prompt|eval|setTimeout|setInterval|Function|fetch|atob)\s*(?:\(|`)|String\s*\.\s*fromCharCode",
    ),
)

_TRAVERSAL = (
    Rule(
        "parent",
        5,
        "a parent directory",
        r"(?:^|[/\\=:;?&])\.\.(?:[/\\]|$)|%2e%2e(?:%2f|%5c|[/\\])|\.\.(?:%2f|%5c|%c0%af|%252f)",
    ),
    Rule(
        "file",
        5,
        "a file of the system",
        r"(?:^|[/\\'\"=:])(?:etc[/\\]+(?:passwd|shadow|group|hosts|issue)\b|proc[/\\]+(?:self|version|\d+)[/\\]?|windows[/\\]+(?:win\.ini|system32)|boot\.ini\b|\.(?:git[/\\]|htaccess\b|htpasswd\b|ssh[/\\]|env$))",
    ),
    Rule("wrapper", 5, "a stream wrapper", r"^(?:php|expect|phar|zip|glob|file)\s*://"),
    Rule("nul", 5, "a NUL character", r"%00|\x00"),
)

_COMMANDS = r"(?:cat|ls|id|whoami|uname|wget|curl|nc|ncat|bash|sh|zsh|python\d?|perl|ruby|php|ping|nslookup|rm|chmod|echo|sleep|powershell|cmd(?:\.exe)?|type|dir|net\s+user|ifconfig|ipconfig|env|printenv)"

_COMMAND = (
    Rule(
        "chained",
        5,
        "a command behind another",
        rf"(?:;|\|\|?|&&|\n)\s*(?:/(?:usr/)?s?bin/)?{_COMMANDS}(?:\s+[-/\w.~$'\"]|\s*$|\s*[;|&<>])",
    ),
    Rule(
        "substituted",
        5,
        "a command in another",
        rf"(?:\$\(|`)\s*(?:/(?:usr/)?s?bin/)?{_COMMANDS}\b[^`)]*(?:\)|`)",
    ),
    Rule("shellshock", 5, "a function definition in a header", r"^\s*\(\)\s*\{"),
    Rule("variables", 5, "blanks by variables", r"\$\{?IFS\}?"),
    Rule("jndi", 5, "a look-up by JNDI", r"\$\{(?:jndi|\$\{|lower:|upper:|env:|::-)"),
)

RULES: dict[str, tuple[Rule, ...]] = {
    "sqli": _SQLI,
    "xss": _XSS,
    "path_traversal": _TRAVERSAL,
    "command_injection": _COMMAND,
}
"""The rules of each check."""
