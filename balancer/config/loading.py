"""The way in: read a file, validate it with the plug-ins' models, check it as a whole; everything wrong at once."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from balancer.config.checking import check
from balancer.config.document import Document
from balancer.config.reading import read_document, read_document_text
from balancer.config.salvage import remainder
from balancer.config.schema import Config, Plugins
from balancer.config.shapes import Shapes
from balancer.config.wording import problems_of
from balancer.errors import ConfigurationError, Problem
from balancer.hooks.plugged import Factories

__all__ = ["UNKNOWN_NAME", "Loaded", "again", "load", "load_text", "read", "without_collecting"]

Registry = Factories | Callable[[Plugins], Factories]

UNKNOWN_NAME = "unknown-name"
"""The code of a problem with a ``{name}`` that the path of the route does not capture."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, where everything in it stood, and the plug-ins it was validated with."""

    config: Config
    document: Document
    registry: Factories


def read(path: str | os.PathLike[str], registry: Registry, environment: Mapping[str, str] | None = None) -> Config:
    """Return the configuration in the file at ``path``.

    Args:
        path: the file.
        registry: the loaded plug-ins; or a callable that loads them as the file's ``plugins:`` says.
        environment: what ``${NAME}`` stands for; by default the process's own.

    Raises:
        ConfigurationError: with every problem found.
    """
    return load(path, registry, environment).config


Building = Callable[[Loaded], list[Problem]]
"""Builds what a configuration describes, and returns what is wrong with that."""


def load(
    path: str | os.PathLike[str],
    registry: Registry,
    environment: Mapping[str, str] | None = None,
    building: Building | None = None,
) -> Loaded:
    """Return the configuration in the file at ``path`` with its places; arguments and errors as of :func:`read`.

    ``building`` adds to the errors of a configuration that is refused what shows in building the rest of it.
    """
    with without_collecting():
        return _validated(read_document(path, environment), registry, building)


def load_text(
    text: str,
    registry: Registry,
    environment: Mapping[str, str] | None = None,
    *,
    file: str = "<text>",
    directory: str = "",
    building: Building | None = None,
) -> Loaded:
    """Return the configuration in ``text``, called ``file`` in problems; paths in it count from ``directory``."""
    with without_collecting():
        return _validated(read_document_text(text, file, directory, environment), registry, building)


def again(data: Any, file: str, directory: str, registry: Registry) -> Loaded:
    """Return the configuration that another process has read and checked as ``data``, without places."""
    document = Document(file, directory)
    document.data = data
    with without_collecting():
        return _validated(document, registry, None)


def _validated(document: Document, registry: Registry, building: Building | None) -> Loaded:
    if not isinstance(document.data, dict):
        problem = document.problem((), "expected a mapping with the keys listeners and pools at the top")
        raise ConfigurationError([*document.problems, problem])
    factories = registry(_plugins(document)) if callable(registry) else registry
    problems = list(document.problems)
    config = None
    context = {"registry": factories, "directory": document.directory}
    try:
        config = Config.model_validate(document.data, context=context)
    except ValidationError as error:
        problems += problems_of(error, document, Shapes(Config, factories))
    problems += check(document)
    problems += _missing(document, factories)
    if problems or config is None:
        if building is not None:
            problems += _in_the_rest(document, problems, factories, context, building)
        raise ConfigurationError(_in_order(problems))
    config.remember_places(document)
    return Loaded(config, document, factories)


def _in_the_rest(
    document: Document, known: list[Problem], factories: Factories, context: Mapping[str, Any], building: Building
) -> list[Problem]:
    """Return what shows in building what is valid, without what may only be a consequence of the problems ``known``."""
    rest = remainder(document, context)
    if rest is None:
        return []
    return [
        problem
        for problem in building(Loaded(*rest, factories))
        if not any(_follows(problem, other) for other in known)
    ]


def _follows(problem: Problem, known: Problem) -> bool:
    """Whether ``problem`` is at a place around that of one that is ``known``, or a name of a match that is wrong."""
    if problem.path == known.path or known.path.startswith((f"{problem.path}.", f"{problem.path}[")):
        return True
    route = problem.path.partition(".filters")[0]
    return problem.code == UNKNOWN_NAME and known.path.startswith(f"{route}.match")


def _missing(document: Document, factories: Factories) -> list[Problem]:
    """Return what is wrong with packages that ``plugins.require`` names."""
    missing: Mapping[str, str] = getattr(factories, "missing", {})
    required = _plugins(document).require
    return [document.problem(("plugins", "require", required.index(name)), text) for name, text in missing.items()]


def _plugins(document: Document) -> Plugins:
    """Return what the file says about plug-ins; the defaults where that is wrong, which validation will report."""
    try:
        return Plugins.model_validate(document.data.get("plugins", {}))
    except ValidationError:
        return Plugins()


def _in_order(problems: list[Problem]) -> list[Problem]:
    """Return each problem once, in the order of the file."""
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.line, problem.column))


@contextmanager
def without_collecting() -> Iterator[None]:
    """Keep the cyclic garbage collector still: over a million young objects it doubles the time, and finds nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
