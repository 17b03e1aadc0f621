"""Running a command in this process."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from balancer.cli.main import main

__all__ = ["ETC", "CommandTestCase"]

ETC = Path(__file__).resolve().parents[2] / "etc"


class CommandTestCase(SynchronousTestCase):
    """Runs ``balancer`` commands; whatever is raised but SystemExit fails the test."""

    def balancer(self, *words: object, status: int = 0) -> Result:
        """Return the outcome of ``balancer WORDS``, which must end with ``status``."""
        result = CliRunner().invoke(main, [str(word) for word in words], env={"COLUMNS": "200", "NO_COLOR": "1"})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        self.assertEqual(result.exit_code, status, result.stdout + result.stderr)
        return result

    def file(self, text: str) -> Path:
        """Return a configuration file with ``text``."""
        path = Path(self.mktemp()).absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path
