"""Routing tests in a file of their own, beside the configuration: a list of them, or a mapping with the key ``tests``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from balancer.config.document import Document
from balancer.config.reading import read_document
from balancer.config.routing_tests import RoutingTest
from balancer.config.shapes import Shapes
from balancer.config.wording import problems_of
from balancer.errors import ConfigurationError
from balancer.hooks.plugged import Factories
from balancer.hooks.settings import Settings

__all__ = ["beside", "read_tests"]

_ENDING = ".tests.yaml"


class _TestFile(Settings):
    tests: tuple[RoutingTest, ...] = Field(description="Routing tests.", min_length=1)


def beside(configuration: Path) -> Path | None:
    """Return the file of tests beside ``configuration``, ``NAME.tests.yaml`` for ``NAME.yaml``; None if there is none."""
    path = configuration.with_name(configuration.stem + _ENDING)
    return path if path.exists() and path != configuration else None


def read_tests(path: Path, factories: Factories) -> tuple[RoutingTest, ...]:
    """Return the tests in the file at ``path``.

    Raises:
        ConfigurationError: with every problem found.
    """
    document = read_document(path)
    if isinstance(document.data, list):
        document = _under_tests(document)
    problems = list(document.problems)
    try:
        found = _TestFile.model_validate(
            document.data, context={"registry": factories, "directory": document.directory}
        )
    except ValidationError as error:
        problems += problems_of(error, document, Shapes(_TestFile, factories))
    if problems:
        raise ConfigurationError(problems)
    return found.tests


def _under_tests(document: Document) -> Document:
    """Return ``document``, which is a list, as what is under the key ``tests``."""
    data = {"tests": document.data}
    document.places[id(data)] = {"tests": (document.root, document.root)}
    document.data = data
    return document
