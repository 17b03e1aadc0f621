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
from balancer.config.schema import Config, Plugins
from balancer.config.shapes import Shapes
from balancer.config.wording import problems_of
from balancer.errors import ConfigurationError, Problem
from balancer.hooks.plugged import Factories

__all__ = ["Loaded", "again", "load", "load_text", "read"]

Registry = Factories | Callable[[Plugins], Factories]


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


def load(path: str | os.PathLike[str], registry: Registry, environment: Mapping[str, str] | None = None) -> Loaded:
    """Return the configuration in the file at ``path`` with its places; arguments and errors as of :func:`read`."""
    with _without_collecting():
        return _validated(read_document(path, environment), registry)


def load_text(
    text: str,
    registry: Registry,
    environment: Mapping[str, str] | None = None,
    *,
    file: str = "<text>",
    directory: str = "",
) -> Loaded:
    """Return the configuration in ``text``, called ``file`` in problems; paths in it count from ``directory``."""
    with _without_collecting():
        return _validated(read_document_text(text, file, directory, environment), registry)


def again(data: Any, file: str, directory: str, registry: Registry) -> Loaded:
    """Return the configuration that another process has read and checked as ``data``, without places."""
    document = Document(file, directory)
    document.data = data
    with _without_collecting():
        return _validated(document, registry)


def _validated(document: Document, registry: Registry) -> Loaded:
    if not isinstance(document.data, dict):
        problem = document.problem((), "expected a mapping with the keys listeners and pools at the top")
        raise ConfigurationError([*document.problems, problem])
    factories = registry(_plugins(document)) if callable(registry) else registry
    problems = list(document.problems)
    config = None
    try:
        config = Config.model_validate(document.data, context={"registry": factories, "directory": document.directory})
    except ValidationError as error:
        problems += problems_of(error, document, Shapes(Config, factories))
    problems += check(document)
    problems += _missing(document, factories)
    if problems or config is None:
        raise ConfigurationError(_in_order(problems))
    config.remember_places(document)
    return Loaded(config, document, factories)


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
def _without_collecting() -> Iterator[None]:
    """Keep the cyclic garbage collector still: over a million young objects it doubles the time, and finds nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
