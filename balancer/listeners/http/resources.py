"""The resources that come with the balancer: the files of a directory, and WSGI applications.

Both are Twisted's own (:class:`twisted.web.static.File`, in :mod:`.files`, :class:`twisted.web.wsgi.WSGIResource`); here are
their settings and what an operator expects besides: an application that cannot be imported named when the configuration is
read, threads that end with the resource.
"""

from __future__ import annotations

import importlib
import re
import sys
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Thread
from typing import Any

from pydantic import Field, field_validator
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import IResource, Resource
from twisted.web.wsgi import WSGIResource
from zope.interface import implementer

from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory, IFactory
from balancer.hooks.settings import LocalPath, Settings
from balancer.listeners.http.files import Files
from balancer.wire.answers import status_phrase

__all__ = ["StaticSettings", "WSGISettings", "balancer_resources"]

_STATUS = re.compile(r"([2-9][0-9]{2})(?: +([^\x00-\x1f\x7f]*))?")


class StaticSettings(Settings):
    """Files of a directory, with their types, ``ETag``, conditions, ``Range`` and ``HEAD``."""

    directory: LocalPath = Field(description="The directory; what symbolic links in it point to is served too.")
    index: tuple[str, ...] = Field(
        default=("index.html",), description="Names of files that stand for their directory, the first that is there."
    )
    listing: bool = Field(default=False, description="Whether a directory without such a file is listed; else 403.")

    @field_validator("index")
    @classmethod
    def _names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not name or "/" in name or name in (".", ".."):
                raise ValueError(f"expected names of files, got {name!r}")
        return names


class WSGISettings(Settings):
    """A WSGI application (PEP 3333), run in threads of its own."""

    application: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$",
        description="Where the application is: `package.module:attribute`. It is imported when the configuration is read.",
        examples=["shop.wsgi:application"],
    )
    threads: int = Field(default=10, ge=1, le=1000, description="How many requests it works on at the same time.")
    directory: LocalPath | None = Field(
        default=None, description="A directory to look for the module in, before where Python looks."
    )


@hookimpl
def balancer_resources() -> Iterable[IFactory]:
    """Return the built-in resources."""
    return (
        Factory("static", _static, StaticSettings, bare="directory"),
        Factory("wsgi", _wsgi, WSGISettings, bare="application"),
    )


def _static(settings: StaticSettings) -> IResource:
    files = Files(settings.directory, defaultType="application/octet-stream")
    files.indexNames = list(settings.index)
    files.listed = settings.listing
    return files


def _wsgi(settings: WSGISettings) -> IResource:
    return _Application(_imported(settings), settings.threads)


def _imported(settings: WSGISettings) -> Callable[..., Iterable[bytes]]:
    """Return the application; raises ValueError saying why there is none."""
    module, _, attribute = settings.application.partition(":")
    folder = settings.directory
    if folder is not None and folder not in sys.path:
        if not Path(folder).is_dir():
            raise ValueError(f"there is no directory {folder}")
        sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(module)
        for name in attribute.split("."):
            found = getattr(found, name)
    except Exception as error:  # whatever the application's module does while it is imported
        raise ValueError(f"{settings.application} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ValueError(f"{settings.application} is not callable, and so no WSGI application")
    application: Callable[..., Iterable[bytes]] = found
    return application


def _with_phrases(application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Return ``application`` with a phrase in each status, without which Twisted cannot read it.

    What is no status at all is the application's error, raised where it said so.
    """

    def phrased(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: Any, exc_info: Any = None) -> Any:
            match = _STATUS.fullmatch(status)
            if match is None:
                raise ValueError(f"expected a status such as '200 OK', got {status!r}")
            if not match[2]:
                status = f"{match[1]} {status_phrase(int(match[1]))}"
            return start_response(status, headers, exc_info)

        return application(environ, start)

    return phrased


class _Daemon(Thread):
    """A thread that does not keep the process from ending."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, daemon=True, **kwargs)


def _stop(threads: ThreadPool) -> None:
    """End ``threads`` once each is through with its request; not here, as they may wait for the reactor to write for them."""
    _Daemon(target=threads.stop).start()


@implementer(IResource)
class _Application(Resource):
    """A WSGI application with its threads, which begin with the first request and end with the resource."""

    isLeaf = True

    def __init__(self, application: Callable[..., Iterable[bytes]], threads: int) -> None:
        super().__init__()
        self._application = application
        self._threads = threads
        self._served: WSGIResource | None = None

    def render(self, request: Any) -> Any:
        """Have the application answer."""
        if self._served is None:
            reactor = request.site.reactor
            threads = ThreadPool(0, self._threads, "wsgi")
            threads.threadFactory = _Daemon
            threads.start()
            # A reload drops the resource, with the last request that it serves; the end of the service does not.
            end = weakref.finalize(self, _stop, threads)
            reactor.addSystemEventTrigger("after", "shutdown", end)
            self._served = WSGIResource(reactor, threads, _with_phrases(self._application))
        return self._served.render(request)
