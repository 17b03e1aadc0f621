"""One name and value that came with a request, and where it came from."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Fault", "Value"]


class Value(NamedTuple):
    """A value as an application would read it: decoded once, as text (what is no UTF-8 stands as U+FFFD).

    ``source`` is ``query``, ``form``, ``json``, ``multipart`` or ``cookie``; ``name`` what it goes by: an argument's name, the path of a
    leaf in JSON (``user.tags[0]``).
    """

    source: str
    name: str
    text: str

    @property
    def target(self) -> str:
        """The place in one word, as findings name it: ``query:q``."""
        return f"{self.source}:{self.name}" if self.name else self.source


class Fault(NamedTuple):
    """Something about a request that is not as it should be: ``source`` as above, ``code`` for rules, ``detail`` for people."""

    source: str
    code: str
    detail: str
