"""Balancing algorithms: one file each, registered by :mod:`balancer.pools.algorithms.builtins`."""
