"""Tests for :mod:`balancer.config.pool_lint`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.lint import lint
from tests.config.samples import config_of

CLEAN = """
listeners: {web: {bind: 0.0.0.0:8080, pool: app}}
pools:
  app:
    servers: [10.0.0.1:8000, 10.0.0.2:8000]
    health: {probe: http}
"""


class PoolLintTests(SynchronousTestCase):
    """Policies that decide nothing."""

    def codes(self, more: str, servers: str = "") -> list[str]:
        """The codes of what is said, with this line in the pool, and other servers."""
        text = CLEAN + f"    {more}\n"
        if servers:
            text = text.replace("[10.0.0.1:8000, 10.0.0.2:8000]", servers)
        return [problem.code for problem in lint(config_of(text))]

    def test_outliers(self) -> None:
        """Comparisons that can find nobody, a start with nobody else."""
        six = "['a:1', 'b:1', 'c:1', 'd:1', 'e:1', 'f:1']"
        for more, servers, codes in [
            ("passive: {success_rate: true, latency: true}", six, []),
            ("passive: {success_rate: true}", "", ["compares-nothing"]),
            ("passive: {latency: {stdevs: 3}}", six, ["compares-nothing"]),
            ("passive: {max_ejected: 10%}", "", ["ejects-nobody"]),
            ("slow_start: 10s", "", []),
            ("slow_start: 10s", "['a:1']", ["starts-alone"]),
        ]:
            self.assertEqual(self.codes(more, servers), codes, more)

    def test_sections(self) -> None:
        """Zones that are not preferred, spilling that cannot be."""
        two = "[{address: 'a:1', zone: eu}, {address: 'b:1', zone: us}]"
        for more, servers, codes in [
            ("locality: {zone: eu, overprovisioning: 2}", two, []),
            ("locality: {zone: asia}", two, ["no-zone"]),
            ("panic: true", two, ["no-zone"]),
            ("locality: {zone: eu}", "[{address: 'a:1', zone: eu}, {address: 'b:1', zone: eu}]", ["no-zone"]),
            ("locality: {overprovisioning: 2}", "", ["spills-nothing"]),
            ("locality: {overprovisioning: 2}", "['a:1', {address: 'b:1', priority: 1}]", []),
        ]:
            self.assertEqual(self.codes(more, servers), codes, more)

    def test_subsets(self) -> None:
        """Labels that decide nothing."""
        labelled = "[{address: 'a:1', labels: {version: v1}}, 'b:1']"
        for more, servers, codes in [
            ("subset: {by: version}", labelled, []),
            ("panic: true", labelled, ["idle-labels"]),
            ("subset: {by: [version, stage]}", labelled, ["no-label"]),
        ]:
            self.assertEqual(self.codes(more, servers), codes, more)
        routed = CLEAN.replace("pool: app}}", "routes: [{pool: app, subset: {version: v1}}]}}")
        self.assertEqual([problem.code for problem in lint(config_of(routed))], ["idle-labels"])

    def test_queues(self) -> None:
        """Priorities where nobody waits, or nobody has another."""
        for more, codes in [
            ("queue: {priority: {header: X-Priority}, default_priority: 3}", []),
            ("queue: {size: 0, priority: {header: X-Priority}}", ["idle-queue"]),
            ("queue: {default_priority: 3}", ["idle-queue"]),
        ]:
            self.assertEqual(self.codes(more), codes, more)

    def test_breakers(self) -> None:
        """Breakers that limit nothing, or everything."""
        limited = "[{address: 'a:1', max_connections: 5}, {address: 'b:1', max_connections: 5}]"
        for more, servers, codes in [
            ("breaker: {requests: 100, trip: true}", "", []),
            ("breaker: {}", "", ["idle-breaker"]),
            ("breaker: {retries: 3}\n    retry: false", "", ["limits-nothing"]),
            ("breaker: {requests: 10}", limited, ["limits-nothing"]),
            ("breaker: {requests: 9}", limited, []),
            ("breaker: {trip: true}", "['a:1']", ["trips-everything"]),
            ("concurrency: true", limited, ["limits-nothing"]),
            ("concurrency: {minimum: 1, initial: 1}", limited, []),
        ]:
            self.assertEqual(self.codes(more, servers), codes, more)
