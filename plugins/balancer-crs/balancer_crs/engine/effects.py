"""What a matching rule changes: variables, and how the rest of the exchange is looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from balancer_crs.engine.matches import Match
from balancer_crs.engine.operators import number
from balancer_crs.lang.model import Ctl, Effect, ExpireVar, InitCol, SetEnv, SetVar

if TYPE_CHECKING:
    from balancer_crs.engine.transaction import Transaction


def obey(transaction: Transaction, effects: Sequence[Effect], match: Match) -> None:
    """Do what the rule wants done for one match."""
    for effect in effects:
        if isinstance(effect, SetVar):
            _set(transaction, effect, match)
        elif isinstance(effect, Ctl):
            _CONTROLS[effect.name](transaction, effect)
        elif isinstance(effect, InitCol):
            key = transaction.expand(effect.key)
            transaction.facts.records[effect.collection] = transaction._engine.memory.record(effect.collection, key)
        elif isinstance(effect, ExpireVar):
            record = transaction.facts.records.get(effect.collection)
            if record is not None:
                record.expire(transaction.expand(effect.key).lower(), float(number(transaction.expand(effect.seconds))))
        elif isinstance(effect, SetEnv):
            transaction.facts.env[transaction.expand(effect.name).lower()] = transaction.expand(effect.value)


def _set(transaction: Transaction, effect: SetVar, match: Match) -> None:
    facts = transaction.facts
    key = transaction.expand(effect.key).lower()
    if effect.collection == "TX":
        members = facts.tx
    else:
        record = facts.records.get(effect.collection)
        if record is None:
            return
        members = record.current()
    if effect.operation == "unset":
        members.pop(key, None)
        return
    value = transaction.expand(effect.value)
    if effect.operation != "set":
        change = number(value) if effect.operation == "add" else -number(value)
        value = b"%d" % (number(members.get(key, b"")) + change)
        if effect.collection == "TX" and change:
            name = key.decode("utf-8", "replace")
            match.scores[name] = match.scores.get(name, 0) + change
    if effect.collection == "TX":
        members[key] = value
    else:
        facts.records[effect.collection].set(key, value)


def _remove_rules(transaction: Transaction, ctl: Ctl) -> None:
    transaction.removed |= transaction._engine.plan.removed_by(ctl)


def _remove_targets(transaction: Transaction, ctl: Ctl) -> None:
    if ctl.target is None:
        return
    for rule in transaction._engine.plan.removed_by(ctl):
        transaction.excluded[rule] = (*transaction.excluded.get(rule, ()), ctl.target)


def _rule_engine(transaction: Transaction, ctl: Ctl) -> None:
    # What runs in detection only is never made to block by a rule.
    if not (transaction.mode == "DetectionOnly" and ctl.value == "On"):
        transaction.mode = ctl.value


def _body_processor(transaction: Transaction, ctl: Ctl) -> None:
    transaction.set_body_processor(ctl.value)


def _force_body(transaction: Transaction, ctl: Ctl) -> None:
    transaction.force_body = ctl.value == "On"


def _body_access(transaction: Transaction, ctl: Ctl) -> None:
    transaction.body_access = ctl.value == "On"


def _response_access(transaction: Transaction, ctl: Ctl) -> None:
    transaction.response_access = ctl.value == "On"


def _audit(transaction: Transaction, ctl: Ctl) -> None:
    transaction.audit = ctl.value


def _parts(transaction: Transaction, ctl: Ctl) -> None:
    """Parts of ModSecurity's audit log; there is one format here."""


def _request_limit(transaction: Transaction, ctl: Ctl) -> None:
    transaction.request_body_limit = int(ctl.value)


def _response_limit(transaction: Transaction, ctl: Ctl) -> None:
    transaction.response_body_limit = int(ctl.value)


_CONTROLS: dict[str, Callable[[Transaction, Ctl], None]] = {
    **dict.fromkeys(("ruleRemoveById", "ruleRemoveByTag", "ruleRemoveByMsg"), _remove_rules),
    **dict.fromkeys(("ruleRemoveTargetById", "ruleRemoveTargetByTag", "ruleRemoveTargetByMsg"), _remove_targets),
    "ruleEngine": _rule_engine,
    "requestBodyProcessor": _body_processor,
    "forceRequestBodyVariable": _force_body,
    "requestBodyAccess": _body_access,
    "responseBodyAccess": _response_access,
    "requestBodyLimit": _request_limit,
    "responseBodyLimit": _response_limit,
    "auditEngine": _audit,
    "auditLogParts": _parts,
}
