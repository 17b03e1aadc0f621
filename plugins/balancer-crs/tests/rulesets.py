"""Where the Core Rule Set is, of which nothing is copied here: beside the repository, or Debian's package."""

from __future__ import annotations

import os
from pathlib import Path

from balancer_crs.engine.injection import Injection, library
from balancer_crs.sources import DEBIAN
from twisted.trial.unittest import SkipTest

_HERE = Path(__file__).resolve().parents[3]


def shared() -> Path:
    """Return the directory of CRS v4 beside the checkout, or skip the test."""
    for root in (_HERE, _main_checkout()):
        if root is not None and (found := root.parent / "shared" / "crs").is_dir():
            return found
    raise SkipTest("there is no ../shared/crs")


def _main_checkout() -> Path | None:
    """Return the checkout that this one, if it is a second work tree, belongs to."""
    link = _HERE / ".git"
    if not link.is_file():
        return None
    common = Path(link.read_text().removeprefix("gitdir:").strip()).parents[1]
    return common.parent


def debian() -> Path:
    """Return the directory of Debian's CRS 3.3; without it skip the test, in CI fail."""
    if (DEBIAN[0] / "rules").is_dir():
        return DEBIAN[0]
    if os.environ.get("CI") == "true":
        raise AssertionError("modsecurity-crs is not installed")
    raise SkipTest("modsecurity-crs is not installed")


def libinjection() -> Injection:
    """Return the library; without it skip the test, in CI fail."""
    found = library()
    if found is not None:
        return found
    if os.environ.get("CI") == "true":
        raise AssertionError("libmodsecurity3 is not installed")
    raise SkipTest("libmodsecurity3 is not installed")
