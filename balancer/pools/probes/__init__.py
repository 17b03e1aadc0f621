"""Active health probes: one file each, registered by :mod:`balancer.pools.probes.builtins`."""
