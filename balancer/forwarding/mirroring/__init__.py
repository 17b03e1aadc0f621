"""Copies of requests for other pools, beside the exchange that a client waits for.

::

    client ──> Tapped ──> Forward ──> server            the client's exchange, as without a mirror
                 │ what goes by, up to a limit
                 └──(once the request has gone)──> Shadow ──> server of the mirror's pool ──> nowhere
                                                      │
                 what the client's server answers ────┴──> Comparison ──> differences counted, written down
"""
