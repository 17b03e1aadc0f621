"""Tests for :mod:`balancer.config.schema`."""

from __future__ import annotations

from pydantic import ValidationError
from twisted.trial.unittest import SynchronousTestCase

from balancer.config.schema import Config
from tests.config.samples import SERVED, config_of, lines_of


class ConfigTests(SynchronousTestCase):
    """The top of the file."""

    def test_defaults(self) -> None:
        """A file with listeners and pools has the defaults that operators are promised."""
        config = config_of(SERVED)
        assert config.access_log is not None
        self.assertEqual((config.access_log.format.name, config.access_log.path), ("json", "-"))
        self.assertEqual((config.workers, config.graceful_timeout), (1, 30.0))
        self.assertEqual((config.limits.connections, config.limits.connections_per_client), (None, 1024))
        self.assertEqual((config.metrics, config.admin, config.secret), (None, None, None))
        self.assertEqual((config.plugins.on_error, config.plugins.trip_after), ("allow", 10))

    def test_access_log(self) -> None:
        """The log can be off, or a file beside the configuration."""
        self.assertIsNone(config_of(SERVED + "access_log: false\n").access_log)
        log = config_of(SERVED + "access_log: {format: clf, path: access.log}\n", directory="/etc/b").access_log
        assert log is not None
        self.assertEqual((log.format.name, log.path), ("clf", "/etc/b/access.log"))

    def test_shedding(self) -> None:
        """It begins at a lag, or never; a listener may be spared."""
        for text, seconds in (("40ms", 0.04), ("false", 0.0), ("0s", 0.0), ("true", 0.25), ("2s", 2.0)):
            self.assertEqual(config_of(SERVED + f"limits: {{shed_after: {text}}}\n").limits.shed_after, seconds)
        self.assertEqual(config_of(SERVED).limits.shed_after, 0.25)
        self.assertTrue(config_of(SERVED).listeners["web"].limits.shed)
        spared = config_of(SERVED.replace("    pool: app", "    pool: app\n    limits: {shed: false}"))
        self.assertFalse(spared.listeners["web"].limits.shed)

    def test_frozen(self) -> None:
        """Nothing in the tree can be set."""
        config = config_of(SERVED)
        self.assertRaises(ValidationError, setattr, config, "workers", 2)
        self.assertRaises(ValidationError, setattr, config.pools["app"], "panic", False)

    def test_secrets_are_not_shown(self) -> None:
        """Neither secret nor token is in the repr."""
        config = config_of(SERVED + "secret: 0123456789abcdef\nadmin: {bind: 'unix:/x', token: fedcba9876543210}\n")
        self.assertNotIn("0123456789abcdef", repr(config))
        self.assertNotIn("fedcba9876543210", repr(config))

    def test_refused(self) -> None:
        """What is wrong at the top is said in plain words."""
        for text, expected in [
            ("workers: 0", "10: workers: expected a number from 1 to 256, or 'auto', got 0"),
            ("workers: true", "10: workers: expected a number from 1 to 256, or 'auto', got True"),
            ("workers: x", "10: workers: expected a number from 1 to 256, or 'auto', got 'x'"),
            ("metrics: true", "10: metrics: expected a mapping (keys: bind), got true"),
            ("admin: {bind: '*:1'}", "15: admin.bind: expected a 'token' beside an address that is no unix socket"),
            ("listener: {}", "1: listener: unknown key 'listener'; did you mean 'listeners'?"),
            (
                "limits: {shed_after: often}",
                "22: limits.shed_after: expected a duration such as '250ms', '5s' or '10m', got 'often'",
            ),
            ("plugins: {on_error: ignore}", "21: plugins.on_error: expected allow or deny, got 'ignore'"),
            (
                "trusted_proxies: [10.0.0.1/8]",
                "19: trusted_proxies[0]: expected a network without host bits: did you mean '10.0.0.0/8'?",
            ),
            (
                "graceful_timeout: soon",
                "19: graceful_timeout: expected a duration such as '250ms', '5s' or '10m', got 'soon'",
            ),
        ]:
            with self.subTest(text):
                self.assertEqual(lines_of(f"{SERVED}{text}\n"), [f"9:{expected}"])

    def test_nothing_to_listen_on(self) -> None:
        """A configuration has listeners."""
        self.assertEqual(lines_of("pools: {}"), ["1:1: listeners: expected 'listeners': listeners by name"])
        self.assertEqual(
            lines_of("listeners: {}"), ["1:1: listeners: expected at least one entry, got an empty mapping"]
        )
        self.assertIn("expected a mapping", lines_of("listeners: [a]")[0])

    def test_places_without_a_file(self) -> None:
        """A tree that was not read from a file still names the path of a problem."""
        config = Config.model_construct()
        self.assertEqual(str(config.problem(("pools", "a"), "x")), "configuration: pools.a: x")
