"""In the foreground: the log on standard error, and Ctrl-C that means it the second time."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.logger import FilteringLogObserver, LogLevel, LogLevelFilterPredicate, textFileLogObserver

__all__ = ["log_to_stderr", "stop_twice"]


def log_to_stderr() -> Any:
    """Return an observer that writes the service's log, from level info, to standard error."""
    predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
    for chatter in (
        "log_legacy",
        "twisted.web",
        "twisted.python.log",
    ):  # of ports and sites; what is ours says it better
        predicate.setLogLevelForNamespace(chatter, LogLevel.warn)
    return FilteringLogObserver(textFileLogObserver(sys.stderr), [predicate])


def stop_twice(reactor: Any, leaving: Callable[[], Any]) -> None:
    """Let the first Ctrl-C or SIGTERM stop gracefully, and the second at once, after a call to ``leaving``."""
    asked = False

    def stop(signum: int, _frame: Any) -> None:
        nonlocal asked
        if asked:
            leaving()
            os._exit(128 + signum)
        asked = True
        reactor.callFromThread(reactor.stop)

    def install() -> None:
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)

    reactor.callWhenRunning(install)
