"""The tests, laid out as the package is.

Properties are tested with hypothesis, on machines that may be slow or busy: how long an example takes is no failure.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("balancer", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("balancer")
