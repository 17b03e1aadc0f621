"""What a kept connection lets go of while its client is silent: a thousand of them are to cost little.

A connection that is used keeps its parser and the last request, which is not read again when it is repeated. The timer
of its keep-alive time rings twice: first after ``timeouts.quick`` seconds, and all that is dropped (:func:`forgot`); then
at the end. A request pays nothing for that: it sets the timer anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from balancer.listeners.http.channel import HTTPChannel

__all__ = ["forgot"]

_FORGOT = -2  # no count of bytes, and not the -1 of a watched answer


def forgot(channel: HTTPChannel) -> bool:
    """Make an idle connection small, and let it be for the rest of its time; False if that is over."""
    timeouts = channel._site_now().timeouts
    left = timeouts.keep_alive - timeouts.quick
    if channel._seen == _FORGOT or left <= 0.0:
        return False
    channel._seen = _FORGOT  # reset when the next request has been answered
    channel._last = channel._last_facts = None
    channel._reader.forget()
    channel._timer.reset(left)
    return True
