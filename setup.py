"""What ``setup.cfg`` cannot say: with ``BALANCER_COMPILE=1`` in the environment, what every request runs through is compiled.

    BALANCER_COMPILE=1 pip install txbalancer          # or ".", or "-e ."; a C compiler is needed

Without it the package is pure Python. What is compiled, and what that asks of the code, is in ``balancer/compiled.py``.
"""

from __future__ import annotations

import os
import runpy
import tempfile
from pathlib import Path
from typing import Any

from setuptools import setup

COMPILER = ["mypy>=2.0"]
"""Where mypyc is. It is asked for only where it is used."""

SETTINGS = """
[mypy]
ignore_errors = True
ignore_missing_imports = True
follow_imports = normal
"""
"""The types are checked elsewhere, with plug-ins of mypy's that the compiler must not have: mypy-zope changes the code it looks at."""


def extensions() -> list[Any]:
    """Return what is to be compiled; nothing while pip only asks what is needed for it."""
    try:
        from mypyc.build import mypycify
    except ImportError:
        return []
    modules = runpy.run_path(str(Path(__file__).parent / "balancer" / "compiled.py"))["MODULES"]
    paths = [f"{name.replace('.', '/')}.py" for name in modules]
    with tempfile.NamedTemporaryFile("w", suffix=".ini") as settings:
        settings.write(SETTINGS)
        settings.flush()
        return mypycify(["--config-file", settings.name, *paths], opt_level="3", debug_level="0", group_name="balancer")


if os.environ.get("BALANCER_COMPILE") == "1":
    setup(setup_requires=COMPILER, ext_modules=extensions())
else:
    setup()
