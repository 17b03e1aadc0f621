"""In the foreground: the log on standard error, and Ctrl-C that means it the second time."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.logger import FilteringLogObserver, LogLevel, LogLevelFilterPredicate, textFileLogObserver

__all__ = ["levels", "log_to_stderr", "stop_twice"]


def levels() -> LogLevelFilterPredicate:
    """Return what is worth writing: from level info, of Twisted's own from level warn."""
    predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
    for chatter in (
        "log_legacy",
        "twisted.web",
        "twisted.protocols.amp",
        "twisted.python.log",
    ):  # of ports and sites; what is ours says it better
        predicate.setLogLevelForNamespace(chatter, LogLevel.warn)
    return predicate


def log_to_stderr() -> Any:
    """Return an observer that writes the service's log to standard error."""
    return FilteringLogObserver(textFileLogObserver(sys.stderr), [levels()])


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
