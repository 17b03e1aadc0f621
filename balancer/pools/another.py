"""Who gets a request, or session, that has failed on one server: another one, and one of which nothing bad is known, while there is any.

Where several servers fail at a time, each looks well until it has failed often enough to be ejected. The second attempt is often the
last, so it does not go to a server whose latest exchange has failed, unless all that are left are like that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from balancer.pools.pool import Facts, Pool
    from balancer.pools.server import Server

__all__ = ["another"]


def another(pool: Pool, facts: Facts, tried: Sequence[Server]) -> Server | None:
    """Return the server for another attempt of ``facts``, which has failed on those ``tried``; None as :meth:`.Pool.choose` does.

    Where no other is left, one that was tried, the last one if need be: it is better than none.
    """
    suspects = [server for server in pool.servers if server.failures_in_row and server not in tried]
    if suspects:
        found = pool.choose(facts, (*tried, *suspects))
        if found is not None:
            return found
    return pool.choose(facts, tried) or pool.choose(facts, tried[-1:]) or pool.choose(facts)
