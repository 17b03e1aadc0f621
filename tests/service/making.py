"""Configurations with certificates, made in a directory."""

from __future__ import annotations

from pathlib import Path

from balancer.errors import ConfigurationError
from balancer.service.build import built, loaded
from balancer.service.snapshot import Snapshot
from tests.tls.authority import Issued

__all__ = ["built_in", "problems_in"]


def built_in(directory: Path, text: str, **certificates: Issued) -> Snapshot:
    """Return what ``text`` describes, with the certificates ``NAME.pem`` and ``NAME.key`` beside it."""
    for name, issued in certificates.items():
        issued.write(directory / f"{name}.pem", directory / f"{name}.key")
    file = directory / "b.yaml"
    file.write_text(text)
    return built(loaded(file))


def problems_in(directory: Path, text: str, **certificates: Issued) -> list[str]:
    """Return what is wrong with it, the directory written as DIR."""
    try:
        built_in(directory, text, **certificates)
    except ConfigurationError as error:
        return [str(problem).replace(str(directory), "DIR") for problem in error.problems]
    return []
