"""Other people's programs that live tests need."""

from __future__ import annotations

import os
import shutil

from twisted.trial.unittest import SkipTest

_ELSEWHERE = ("/usr/sbin", "/sbin", "/usr/local/sbin")


def need(name: str) -> str:
    """Return the path of the program ``name``.

    Where it is missing the test is skipped, but fails in CI (environment ``CI=true``), which is to have everything.
    """
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(_ELSEWHERE))
    if found is None:
        if os.environ.get("CI") == "true":
            raise AssertionError(f"{name} is not installed")
        raise SkipTest(f"{name} is not installed")
    return found
