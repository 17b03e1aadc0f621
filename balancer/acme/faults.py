"""What goes wrong with an order, in our words: whose fault it is, and how long to wait."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from balancer.acme.schedule import RATE_LIMITED
from balancer.acme.storage import StorageError

__all__ = ["ERROR", "PATIENCE", "WHOLE", "OrderError", "in_our_words", "short"]

PATIENCE = 10
"""Seconds for one answer of the authority's."""
WHOLE = 120.0
"""Seconds in which it is to see the proof, and to issue the certificate."""

ERROR = "urn:ietf:params:acme:error:"
_OF_NAME = frozenset(
    f"{ERROR}{code}"
    for code in ("caa", "connection", "dns", "incorrectResponse", "rejectedIdentifier", "tls", "unauthorized")
)
"""What is wrong with one name, and says nothing of others."""


class OrderError(Exception):
    """There is no certificate, and why.

    ``alone``: the reason is the name's own, others may be ordered; ``wait`` is how many seconds to wait at least.
    """

    def __init__(self, text: str, *, alone: bool = False, wait: float = 0.0) -> None:
        super().__init__(text)
        self.alone = alone
        self.wait = wait


@contextmanager
def in_our_words(asked_to_wait: Callable[[], float] = lambda: 0.0) -> Iterator[None]:
    """Convert what the libraries raise; ``asked_to_wait`` tells the seconds that the authority's last refusal asked for."""
    import requests
    from acme import errors, messages
    from josepy import errors as jose_errors

    try:
        yield
    except (OrderError, StorageError):
        raise
    except errors.IssuanceError as error:
        raise refused(error.error, asked_to_wait()) from error
    except messages.Error as error:
        raise refused(error, asked_to_wait()) from error
    except errors.TimeoutError as error:
        raise OrderError(f"the authority did not come to an end within {WHOLE:g} s", alone=True) from error
    except requests.exceptions.SSLError as error:
        raise OrderError(f"the directory's certificate is not believed: {_innermost(error)}") from error
    except requests.exceptions.Timeout as error:
        raise OrderError(f"the authority did not answer within {PATIENCE} s") from error
    except requests.exceptions.RequestException as error:
        raise OrderError(f"the authority cannot be reached: {_innermost(error)}") from error
    except errors.ClientError as error:
        response = error.args[0] if error.args else None
        status = getattr(response, "status_code", None)
        text = f"the authority answered with status {status}" if status else f"the authority is not understood: {error}"
        raise OrderError(text, wait=asked_to_wait()) from error
    except (errors.Error, jose_errors.Error, json.JSONDecodeError, KeyError, AttributeError, OSError) as error:
        raise OrderError(f"the authority is not understood: {type(error).__name__}: {short(error)}") from error


def refused(error: Any, asked: float = 0.0) -> OrderError:
    """Return what an authority said, in one line; ``asked`` is for how many seconds it asked us to wait."""
    code = str(error.typ).removeprefix(ERROR)
    parts = [error, *(error.subproblems or ())]
    text = "; ".join(dict.fromkeys(str(each.detail) for each in parts if each.detail))
    wait = max(RATE_LIMITED, asked) if code == "rateLimited" else asked
    return OrderError(f"the authority refused: {code}: {short(text)}", alone=error.typ in _OF_NAME, wait=wait)


def _innermost(error: BaseException) -> str:
    """Return the words of what a library has wrapped again and again."""
    while True:
        inner = getattr(error, "reason", None) or next(
            (each for each in error.args if isinstance(each, Exception)), None
        )
        if not isinstance(inner, Exception):
            return short(getattr(error, "strerror", None) or error)
        error = inner


def short(text: object) -> str:
    """Return ``text`` in one line of bearable length."""
    words = " ".join(str(text).split())
    return words if len(words) <= 300 else f"{words[:300]}…"
