"""The ``waf`` filter: checks of plug-ins look at exchanges, and one arbiter for each decides."""

from balancer.filters.waf.filter import WAF
from balancer.filters.waf.settings import WafSettings

__all__ = ["WAF", "WafSettings"]
