"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import TestCase

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 400
_NOT_MIRRORED = ("live", "flows", "fuzz")
"""Folders of tests that see the balancer as a whole."""


def _sources() -> Iterator[Path]:
    yield from sorted((ROOT / "balancer").rglob("*.py"))


class HouseTests(TestCase):
    def test_modules_are_short(self) -> None:
        """No module is longer than can be read in one go."""
        long = [f"{path.relative_to(ROOT)}: {count}" for path in _sources() if (count := _lines(path)) > LONGEST]
        self.assertEqual(long, [])

    def test_modules_say_what_they_are(self) -> None:
        """Every module opens with a docstring."""
        silent = [path for path in _sources() if ast.get_docstring(ast.parse(path.read_text())) is None]
        self.assertEqual(silent, [])

    def test_packages_only_export(self) -> None:
        """An __init__ holds a docstring and exports."""
        busy = []
        for path in _sources():
            if path.name == "__init__.py":
                body = ast.parse(path.read_text()).body
                allowed = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
                busy += [f"{path.relative_to(ROOT)}:{each.lineno}" for each in body if not isinstance(each, allowed)]
        self.assertEqual(busy, [])

    def test_tests_mirror_the_sources(self) -> None:
        """Each test module is named for the module it tests, in the same place."""
        strays = []
        for path in sorted((ROOT / "tests").rglob("test_*.py")):
            within = path.relative_to(ROOT / "tests")
            if within.parts[0] in _NOT_MIRRORED or within.name in ("test_house.py", "test_docs.py"):
                continue
            source = ROOT / "balancer" / within.parent / within.name.removeprefix("test_")
            if not source.exists() and not source.with_suffix("").is_dir():
                strays.append(str(within))
        self.assertEqual(strays, [])

    def test_every_module_has_its_tests(self) -> None:
        """Each module that does anything has a test module in the same place."""
        bare = []
        for path in _sources():
            within = path.relative_to(ROOT / "balancer")
            if path.name == "__init__.py" or not _does_something(path) or str(within) in _TESTED_ELSEWHERE:
                continue
            if not (ROOT / "tests" / within.parent / f"test_{within.name}").exists():
                bare.append(str(within))
        self.assertEqual(bare, [])

    def test_the_exceptions_are_real(self) -> None:
        """What is said to be tested elsewhere is there, and has no test module of its own."""
        for name, where in _TESTED_ELSEWHERE.items():
            self.assertTrue((ROOT / "balancer" / name).exists(), name)
            self.assertTrue((ROOT / "tests" / where).exists(), where)
            self.assertFalse((ROOT / "tests" / Path(name).parent / f"test_{Path(name).name}").exists(), name)


_TESTED_IN: dict[str, tuple[str, ...]] = {
    "forwarding/mirroring/test_mirrors.py": ("forwarding/mirroring/shadow.py", "forwarding/mirroring/tap.py"),
    "tls/test_reading.py": ("tls/identity.py",),
    "acme/test_conversation.py": ("acme/faults.py", "acme/keys.py"),
    "live/test_acme.py": ("acme/challenges.py", "service/threads.py"),
    "service/test_ordering.py": ("service/orders.py",),
    "live/test_tls_certificates.py": ("service/snapshot.py",),
    "net/test_listening.py": ("net/adopted.py",),
    "net/test_transports.py": ("net/stream.py",),
    "net/reactor/test_uv.py": (
        "net/reactor/clients.py",
        "net/reactor/described.py",
        "net/reactor/reading.py",
        "net/reactor/unix.py",
        "net/reactor/writing.py",
    ),
    "live/test_service.py": (
        "cli/ctl.py",
        "cli/foreground.py",
        "cli/run.py",
        "cli/summary.py",
        "net/memory.py",
        "service/admin.py",
        "service/audit.py",
        "service/data_plane.py",
        "service/listening.py",
        "service/runtime.py",
        "service/service.py",
        "service/side_ports.py",
        "service/signals.py",
        "service/start.py",
        "service/status.py",
        "tap.py",
    ),
    "cli/test_replay.py": ("service/replaying.py",),
    "live/test_upgrade.py": (
        "service/notifying.py",
        "service/succession.py",
        "service/upgrade.py",
    ),
    "live/test_workers.py": (
        "cli/worker.py",
        "service/workers/crew.py",
        "service/workers/holdings.py",
        "service/workers/master.py",
        "service/workers/process.py",
        "service/workers/reports.py",
        "service/workers/summed.py",
        "service/workers/worker.py",
    ),
    "live/test_changes.py": ("service/workers/changing.py",),
    "live/test_demo.py": (
        "cli/demo.py",
        "cli/demo_servers.py",
    ),
    "cli/test_check.py": (
        "cli/loading.py",
        "errors.py",
        "service/lint.py",
    ),
    "cli/test_explain.py": ("cli/asking.py", "service/explanation.py"),
    "live/test_explain.py": ("service/questions.py",),
    "live/test_trace.py": ("cli/debug_token.py",),
    "cli/test_explain_session.py": ("service/explaining_sessions.py",),
    "cli/test_test.py": ("config/test_files.py", "service/routing_tests.py"),
    "live/test_http.py": (
        "forwarding/proxy.py",
        "forwarding/server_connection.py",
        "listeners/http/channel.py",
        "listeners/http/client_request.py",
        "listeners/http/listener.py",
        "listeners/http/recording.py",
        "listeners/http/slow.py",
        "listeners/http/walk.py",
    ),
    "live/test_failover.py": ("forwarding/attempts.py",),
    "live/test_pool_policies.py": ("service/pool_metrics.py",),
    "live/test_overload.py": ("listeners/http/overloaded.py",),
    "listeners/http/test_idle.py": ("listeners/http/site.py",),
    "listeners/http2/test_channel.py": (
        "listeners/http/prior_knowledge.py",
        "listeners/http2/counts.py",
        "listeners/http2/over.py",
        "listeners/http2/serving.py",
    ),
    "listeners/http2/test_request.py": ("listeners/http2/reception.py",),
    "live/test_http2.py": ("service/http2.py",),
    "live/test_resources.py": (
        "listeners/http/files.py",
        "listeners/http/rendering.py",
        "listeners/http/resources.py",
    ),
    "forwarding/test_session.py": ("forwarding/side.py",),
    "forwarding/http2/test_connection.py": ("forwarding/http2/exchanges.py",),
    "forwarding/test_tunnel.py": ("forwarding/ends.py",),
    "config/test_fields.py": ("hooks/settings.py",),
    "hooks/test_soundness.py": ("hooks/interfaces.py",),
    "filters/test_chain.py": ("model/exchange.py",),
    "model/test_facts.py": (
        "model/keys.py",
        "model/origin.py",
        "model/tls.py",
    ),
    "filters/waf/test_filter.py": (
        "filters/waf/settings.py",
        "model/verdict.py",
        "testing.py",
    ),
    "checks/test_request_limits.py": ("checks/builtins.py",),
    "filters/waf/test_arbiter.py": ("model/inspection/outcome.py",),
    "model/inspection/test_forms.py": ("model/inspection/values.py",),
    "live/test_waf.py": (
        "listeners/http/held.py",
        "listeners/http/looking.py",
    ),
    "service/test_build.py": (
        "service/pools.py",
        "service/routes.py",
    ),
    "wire/http2/test_sessions.py": (
        "wire/http2/callbacks.py",
        "wire/http2/frames.py",
        "wire/http2/framing.py",
        "wire/http2/interface.py",
        "wire/http2/library.py",
        "wire/http2/messages.py",
        "wire/http2/native.py",
        "wire/http2/pure.py",
        "wire/http2/reading.py",
    ),
    "live/test_tls_servers.py": ("forwarding/encrypting.py",),
    "wire/proxy_protocol/test_reader.py": (
        "wire/proxy_protocol/endpoints.py",
        "wire/proxy_protocol/errors.py",
        "wire/proxy_protocol/header.py",
        "wire/proxy_protocol/tlvs.py",
    ),
    "net/test_secured.py": ("net/secure_session.py",),
    "tls/test_session.py": (
        "tls/bundled.py",
        "tls/callbacks.py",
        "tls/choosing.py",
        "tls/client_contexts.py",
        "tls/context.py",
        "tls/faults.py",
        "tls/library.py",
        "tls/server_contexts.py",
        "tls/system.py",
        "tls/tickets.py",
    ),
    "wire/http1/test_requests.py": (
        "wire/http1/body.py",
        "wire/http1/heads.py",
        "wire/http1/repeats.py",
    ),
}
"""Modules that have no test module of their own, by where they are tested."""
_TESTED_ELSEWHERE = {name: where for where, names in _TESTED_IN.items() for name in names}


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def _does_something(path: Path) -> bool:
    """Whether a module has a function with more in it than a docstring."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = [
                each for each in node.body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
            ]
            if body:
                return True
    return False
