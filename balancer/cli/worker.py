"""The process of a worker, started by a master and by nobody else; see :mod:`balancer.service.workers.worker`."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any, cast

from twisted.internet.protocol import Factory
from twisted.logger import FilteringLogObserver, ILogObserver, globalLogBeginner

from balancer.cli.foreground import levels
from balancer.net.choosing import install
from balancer.service.workers.worker import CONNECTION, Worker

__all__ = ["main"]


def main() -> None:
    """Serve until the master says stop, or is gone."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # a terminal sends them to everybody; the master says what is to be done
    install()
    from twisted.internet import reactor as chosen

    reactor: Any = chosen
    worker = Worker(reactor)
    observer = FilteringLogObserver(cast(ILogObserver, worker.log), [levels()])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    factory: Any = Factory()
    factory.noisy = False
    factory.buildProtocol = lambda _: worker
    reactor.adoptStreamConnection(CONNECTION, socket.AF_UNIX, factory)
    os.close(CONNECTION)
    signal.signal(signal.SIGTERM, lambda *_: reactor.callFromThread(worker.stop))
    reactor.run(installSignalHandlers=False)


if __name__ == "__main__":
    main()
