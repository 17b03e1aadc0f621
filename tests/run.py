"""Runs every test under coverage: ``python tests/run.py [trial's arguments]``.

The balancer's own tests first; those whose sockets matter once more, on libuv and with balancers on the reactor that is not the default;
then those of each distribution in ``plugins/``, each as an author of it would run them.
Ends with what was covered, which programs were missing, and one line that counts: ``1234 passed, 0 failed, 2 skipped``.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from threading import Timer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from balancer.net.choosing import DEFAULT, NAMES  # noqa: E402

_OTHER = next(name for name in NAMES if name != DEFAULT)
_WHICHEVER = {
    "acme",
    "bench",
    "bench_failing",
    "body_routes",
    "demo",
    "explain",
    "grpc_breadth",
    "http2_conformance",
    "ocsp",
    "plugins",
    "tls_files",
    "trace",
}
"""Stories that are the same on every reactor: about decisions, files and what is above the transports."""
_SOCKETS = [
    *(
        f"tests.live.{path.stem}"
        for path in sorted((ROOT / "tests" / "live").glob("test_*.py"))
        if path.stem.removeprefix("test_") not in _WHICHEVER
    ),
    *(f"tests.net.test_{name}" for name in ("connecting", "datagrams", "listening", "transports")),
]
DATA = ROOT / ".coverage"
_SUMMARY = re.compile(r"^(PASSED|FAILED)(?: \((.*)\))?$")
_LAST = 60.0
"""Seconds that trial may take to end when it has said how it went."""
_MISSING = re.compile(r"^(\S+) is not installed$")


def main(arguments: list[str]) -> int:
    """Run, report, and return the exit status."""
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir()
    counts: Counter[str] = Counter()
    missing: set[str] = set()
    failed = False
    for title, folder, wanted in _suites(arguments):
        print(f"\n== {title}", flush=True)
        failed |= _run(folder, wanted, counts, missing, _OTHER if "--reactor=uv" in wanted else "") != 0
    _coverage("combine", "--quiet")
    print("\n== coverage", flush=True)
    _coverage("report", "--format=total" if "CI" in os.environ else "--format=text")
    if missing:
        print(f"\nleft out, for want of: {', '.join(sorted(missing))}")
    bad = counts["failures"] + counts["errors"] + counts["unexpectedSuccesses"]
    bad = max(bad, int(failed))
    print(f"\n{counts['successes'] + counts['expectedFailures']} passed, {bad} failed, {counts['skips']} skipped")
    return int(bad > 0 or counts["successes"] == 0)


def _suites(arguments: list[str]) -> list[tuple[str, Path, list[str]]]:
    if arguments:
        return [(" ".join(arguments), ROOT, arguments)]
    jobs = f"-j{(os.cpu_count() or 2) + 1}"  # live tests wait for much of their time
    suites = [
        ("balancer", ROOT, [jobs, "tests"]),
        ("balancer, the other reactor", ROOT, [jobs, "--reactor=uv", *_SOCKETS]),
    ]
    for tests in sorted(ROOT.glob("plugins/*/tests")):
        suites.append((tests.parent.name, tests.parent, ["tests"]))
    return suites


def _run(folder: Path, arguments: list[str], counts: Counter[str], missing: set[str], reactor: str) -> int:
    """Run trial in ``folder``, pass its output through, and add up what it says; returns its exit status.

    The balancers that tests start run on ``reactor``, or on the default. What is run once more is not measured once more.
    """
    coverage = [] if reactor else ["-m", "coverage", "run", f"--rcfile={ROOT / 'pyproject.toml'}"]
    command = [sys.executable, *coverage, "-m", "twisted.trial"]
    command += ["--reporter=text", f"--temp-directory={DATA / 'trial'}", *arguments]
    paths = [str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "COVERAGE_FILE": str(DATA / "data"),
        "BALANCER_REACTOR": reactor,
    }
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as run:
        assert run.stdout is not None
        outcome, late = "", Timer(_LAST, run.kill)
        for line in run.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            if found := _MISSING.match(line.strip()):
                missing.add(found[1])
            if found := _SUMMARY.match(line.strip()):
                outcome = found[1]
                late.start()
                for each in (found[2] or "").split(", "):
                    name, _, number = each.partition("=")
                    counts[name] += int(number or 0)
        status = run.wait()
        late.cancel()
    if status == -signal.SIGKILL and outcome:
        print(f"(trial did not end within {_LAST:g} s: a program that a test has started is still there)")
        return int(outcome == "FAILED")
    return status


def _coverage(*arguments: str) -> None:
    environment = os.environ | {"COVERAGE_FILE": str(DATA / "data")}
    subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=ROOT, env=environment, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
