"""The OWASP Core Rule Set for balancer: rules in SecLang, run on linear-time matching."""

from __future__ import annotations

from collections.abc import Iterable

from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory, IFactory


@hookimpl
def balancer_checks() -> Iterable[IFactory]:
    """``checks: [crs]``."""
    from balancer_crs.check import CRSCheck  # the command balancer-crs needs none of it
    from balancer_crs.settings import CRSSettings

    return [Factory("crs", CRSCheck, CRSSettings)]
