"""``workers: N``: a master that holds the sockets and keeps the books, and workers that serve.

::

                    ┌────────────── master ───────────────┐  binds, checks, probes, restarts, sums up;
                    │ sockets  crew  counts  metrics admin │  serves no traffic itself
                    └──┬──────────────┬──────────────┬─────┘
          descriptors, │ AMP over a   │ unix socket  │         shared memory: a row of counts for each
                   worker 1       worker 2       worker 3      adopt the sockets, accept, serve

Each worker is the data plane of a single process (:mod:`balancer.service.data_plane`), told by the master what to serve.
"""
