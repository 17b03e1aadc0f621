"""The examples in ``etc/``: every file loads, means what it says, and has its routing tests pass."""

from __future__ import annotations

import configparser
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.lint import lint
from balancer.service.build import built, loaded
from balancer.service.certificate_lint import lint_certificates
from balancer.service.routing_tests import run_tests
from tests.flows.certified import with_certificates

ETC = Path(__file__).resolve().parents[2] / "etc"
EXAMPLES = sorted(ETC.rglob("*.yaml"))


class ExampleTests(SynchronousTestCase):
    """Configurations."""

    def setUp(self) -> None:
        """Certificates that examples name are made for a copy of them."""
        directory = Path(self.mktemp())
        directory.mkdir()
        self.examples = [with_certificates(path, directory) for path in EXAMPLES]

    def test_there_are_some(self) -> None:
        """The examples that the documentation speaks of are there."""
        self.assertLessEqual(
            {"balancer.yaml", "l4.yaml", "http-routing.yaml", "canary.yaml", "tls.yaml"},
            {path.name for path in EXAMPLES},
        )

    def test_each_can_be_built(self) -> None:
        """Every example is a configuration that the service would start with, and is told nothing worse than a missing probe."""
        for path in self.examples:
            with self.subTest(path.name):
                found = loaded(path)
                snapshot = built(found)
                self.assertEqual(list(lint_certificates(snapshot, time.time())), [])
                self.assertLessEqual({doubt.code for doubt in lint(found.config)}, {"no-health-check", "missing-path"})

    def test_routing_tests_pass(self) -> None:
        """The routing tests in an example pass, and go through every HTTP route of it."""
        for path in self.examples:
            with self.subTest(path.name):
                report = run_tests(built(loaded(path)))
                self.assertEqual(
                    [(result.name, result.differences) for result in report.results if result.differences], []
                )
                self.assertEqual(report.uncovered, ())


class UnitTests(SynchronousTestCase):
    """The systemd unit."""

    def test_commands(self) -> None:
        """It checks before it starts and reloads, runs in the foreground, and waits longer than the graceful stop."""
        unit = configparser.RawConfigParser(strict=False)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read(ETC / "systemd" / "balancer.service")
        service = unit["Service"]
        self.assertIn("balancer check", service["ExecStartPre"])
        self.assertIn("twistd --nodaemon --pidfile= balancer --config", service["ExecStart"])
        self.assertIn("-HUP", service["ExecReload"])
        graceful = loaded(ETC / "balancer.yaml").config.graceful_timeout
        self.assertGreater(float(service["TimeoutStopSec"].removesuffix("s")), graceful)
