from zope.interface import implementer

from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory, ICheck
from balancer.model.inspection.terms import CheckTerms
from balancer.model.verdict import Finding


@implementer(ICheck)
class Backups:
    terms = CheckTerms(phases=("request_head",), lane="inline")

    def inspect(self, subject, phase):
        path = subject.facts.path
        found = Finding("backups", 5, "asks for a backup", "critical", "path", path)
        return [found] if path.endswith((".bak", ".sql", "~")) else []


@hookimpl
def balancer_checks():
    return [Factory("backups", lambda _: Backups())]
