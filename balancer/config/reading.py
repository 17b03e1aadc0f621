"""Reading a configuration file: bytes → text → YAML 1.2 → :class:`~.document.Document`, problems with their places.

``ruamel.yaml`` decides what YAML 1.2 is. Its parser is pure Python, though, and takes 30 s for 100,000 routes, where libyaml
(through PyYAML) takes 0.8 s for the same events. So libyaml goes first where it is installed; whatever it refuses, ruamel
reads again, and its word counts: libyaml is stricter (``[::1]`` in a list, ``a:`` before a ``]``), never different.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from balancer.config.composing import Composer, UnreadableError
from balancer.config.document import Document, Mark
from balancer.errors import ConfigurationError, Problem

__all__ = ["LARGEST", "read_document", "read_document_text"]

LARGEST = 64 * 1024 * 1024
"""Largest configuration file, in bytes."""

_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Place:
    """A place in the text, counted from 0."""

    __slots__ = ("column", "line")

    def __init__(self, text: str, offset: int) -> None:
        self.line = text.count("\n", 0, offset)
        self.column = offset - (text.rfind("\n", 0, offset) + 1)


def read_document(path: str | os.PathLike[str], environment: Mapping[str, str] | None = None) -> Document:
    """Read the file at ``path``.

    Problems that do not stop the reading (a key twice, a variable not set) are left in ``document.problems``.

    Raises:
        ConfigurationError: if the file cannot be read, or is not YAML.
    """
    file = os.fspath(path)
    try:
        with Path(file).open("rb") as stream:
            content = stream.read(LARGEST + 1)
        directory = str(Path(file).absolute().parent)
    except OSError as error:
        raise ConfigurationError(
            [Problem(file, 0, 0, "", f"cannot read the file: {error.strerror}", "unreadable")]
        ) from None
    except ValueError:
        raise ConfigurationError([Problem(repr(file), 0, 0, "", "expected the path of a file", "unreadable")]) from None
    if len(content) > LARGEST:
        message = f"expected a file of at most {LARGEST // 1024**2} MiB"
        raise ConfigurationError([Problem(file, 0, 0, "", message, "size")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        document = Document(file, directory)
        before = content[: error.start].decode("utf-8-sig", "replace")
        message = f"expected text in UTF-8, got the byte 0x{content[error.start]:02x}"
        raise ConfigurationError([document.at(_Place(before, len(before)), "", message, "encoding")]) from None
    return read_document_text(text, file, directory, environment)


def read_document_text(
    text: str, file: str = "<text>", directory: str = "", environment: Mapping[str, str] | None = None
) -> Document:
    """Read ``text``, calling it ``file`` in problems; ``!file`` and other paths are relative to ``directory``.

    Raises:
        ConfigurationError: if the text is not YAML.
    """
    environment = os.environ if environment is None else environment
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        document = Document(file, directory)
        message = f"expected text, got the control character U+{ord(forbidden[0]):04X}"
        raise ConfigurationError([document.at(_Place(text, forbidden.start()), "", message, "encoding")])
    try:
        document = _composed(_fast_events(text), Document(file, directory), environment)
    except _RefusedError:
        document = _composed(_events(text), Document(file, directory), environment)
    if document.data is None:
        raise ConfigurationError(
            [*document.problems, Problem(file, 1, 1, "", "expected a configuration, the file is empty", "empty")]
        )
    return document


class _RefusedError(Exception):
    """libyaml is not there, or does not take the text."""


def _composed(events: Iterator[Any], document: Document, environment: Mapping[str, str]) -> Document:
    try:
        Composer(document, environment).compose(events)
    except UnreadableError as error:
        problem = document.at(error.mark, "", error.message, error.code)
        raise ConfigurationError([*document.problems, problem]) from None
    return document


def _fast_events(text: str) -> Iterator[Any]:
    try:
        parser = importlib.import_module("yaml.cyaml").CParser(text)
        foreign = importlib.import_module("yaml").YAMLError
    except ImportError:
        raise _RefusedError from None
    try:
        while parser.check_event():
            yield parser.get_event()
    except foreign as error:
        raise _RefusedError from error


def _events(text: str) -> Iterator[Any]:
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark or _Place(text, 0)
        if "<document start>" in str(error.problem):
            raise _without_start(text, mark) from None
        raise UnreadableError(mark, _in_our_words(error, text, mark)) from None
    except ReaderError as error:
        raise UnreadableError(_Place(text, error.position), f"expected text: {error.reason}") from None
    except (YAMLError, ValueError, IndexError) as error:
        raise UnreadableError(_Place(text, 0), f"expected YAML: {error}") from None


def _without_start(text: str, mark: Mark) -> UnreadableError:
    """Return the error for content before which ``---`` is missing: after a line that begins with ``%``, as a rule."""
    for number, line in reversed(list(enumerate(text.splitlines()[: mark.line]))):
        if line.startswith("%"):
            found = _Place(text, 0)
            found.line = number
            message = f"expected no line that begins with '%': to YAML {line[:20]!r} is a directive, and '---' is to follow; quote a text"
            return UnreadableError(found, message)
    return UnreadableError(mark, "expected one document, got more after its end ('---' or '...')")


def _in_our_words(error: MarkedYAMLError, text: str, mark: Mark) -> str:
    """Return what is wrong and, for the slips that people make, what to do."""
    problem, context = str(error.problem or "not YAML"), str(error.context or "")
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    at = line[mark.column : mark.column + 1]
    where = f" {context}" if context else ""
    since = error.context_mark
    if since is not None and since.line != mark.line:
        where += f" that begins in line {since.line + 1}"
    return f"expected YAML: {problem}{where}{_advice(problem, context, at, line)}".replace(
        "'\\x00'", "the end of the text"
    )


def _advice(problem: str, context: str, at: str, line: str) -> str:
    if "alias" in context:
        return "; quote a text that begins with '*', such as '*.example.org'"
    if "'\\t'" in problem or line[: len(line) - len(line.lstrip())].count("\t"):
        return "; indent with spaces, not tabs"
    if at and at in "@`%&!|>":
        return f"; quote a text that begins with '{at}'"
    if "mapping values are not allowed" in problem:
        return "; check the indentation, and quote a text that contains ': '"
    if at and at in "{}[],":
        return f"; quote a text that contains '{at}'"
    if "block end" in problem:
        return "; check the indentation, and quote a text that begins with '[', '{' or a quotation mark and goes on after it"
    return ""
