"""From a rule set to what has to be run: rules that depend on the configuration only are decided once, at load."""

from balancer_crs.folding.program import Program
from balancer_crs.folding.walk import fold, unfolded

__all__ = ["Program", "fold", "unfolded"]
