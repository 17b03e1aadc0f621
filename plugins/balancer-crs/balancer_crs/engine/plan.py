"""A rule set made ready to run: operators compiled, jumps resolved, expressions bundled, all of it once, at load.

Rules that look at what does not change within a phase are looked at in bulk first: the expressions of about three rules of one
phase and one pipeline are a :class:`Scan`, asked once whether any of them can be in all the values these rules look at, joined.
Only a rule that it names looks at its values one by one::

    rule ──▶ link ──▶ scan (scope, pipeline, bundle)      942100 is in none: nobody knows an expression for libinjection
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from balancer_crs.engine import operators
from balancer_crs.engine.operators import Judge, UnavailableError, encode
from balancer_crs.engine.patterns import BUNDLE, Bundle
from balancer_crs.engine.transformations import Pipeline, transformation
from balancer_crs.engine.variables import Targets
from balancer_crs.folding.program import PHASES, Program
from balancer_crs.lang.model import Ctl, Marker, Note, Operator, Rule, Variable
from balancer_crs.lang.updates import matcher

_INPUTS = frozenset(
    (
        "ARGS",
        "ARGS_NAMES",
        "REQUEST_COOKIES",
        "REQUEST_COOKIES_NAMES",
        "XML",
        "REQUEST_FILENAME",
        "FILES",
        "FILES_NAMES",
    )
)
"""What most rules look at part of: a rule is looked for in all of it, so that more rules share what they are looked for in."""


_RECURRING = frozenset(
    ("REQUEST_HEADERS", "REQUEST_HEADERS_NAMES", "REQUEST_METHOD", "REQUEST_PROTOCOL", "RESPONSE_HEADERS")
)


class Scan:
    """Expressions that are looked for together.

    Attributes:
        scope: where: what most rules look at, and what only these do, apart, as the first is large and shared.
        pipeline: after which transformations.
        stages: whether what the transformations leave on the way counts too.
        bundle: for what.
        recurring: whether the same texts are to be expected of many exchanges.
    """

    __slots__ = ("bundle", "pipeline", "recurring", "scope", "stages")

    def __init__(self, scope: tuple[Targets, ...], pipeline: Pipeline, stages: bool, bundle: Bundle) -> None:
        self.scope = scope
        self.pipeline = pipeline
        self.stages = stages
        self.bundle = bundle
        self.recurring = all(part.names <= _RECURRING for part in scope)

    def __repr__(self) -> str:
        return f"<Scan for {len(self.bundle)} in {self.scope!r} after {self.pipeline!r}>"


class Link:
    """One rule of a chain, or a rule that is no chain, ready.

    Attributes:
        scan, place: where its expression is looked for in bulk, and which it is there; None if it is not.
        precheck: whether its operator has a quick look at the joined values.
    """

    __slots__ = ("judge", "negated", "pipeline", "place", "precheck", "rule", "scan", "targets")

    def __init__(self, rule: Rule, targets: Targets | None, pipeline: Pipeline, judge: Judge) -> None:
        self.rule = rule
        self.targets = targets
        self.pipeline = pipeline
        self.judge = judge
        self.negated = rule.operator is not None and rule.operator.negated
        self.scan: Scan | None = None
        self.place = 0
        self.precheck = False

    def __repr__(self) -> str:
        return f"<Link {self.rule!r}>"


@dataclass(slots=True, eq=False)
class Step:
    """A rule with its chain, and where its phase goes on if it matched.

    Attributes:
        next: place of the step after this rule's ``skip`` or ``skipAfter``; None without.
    """

    rule: Rule
    links: tuple[Link, ...]
    next: int | None = None


class Plan:
    """A program, ready.

    Args:
        program: the rules, folded or not.
        prefilter: whether expressions are looked for in bulk first. Results are the same without, only later.

    Attributes:
        phases: the steps of each phase.
        initial: members of ``TX`` that each exchange begins with.
        notes: what to tell at load: rules that are disabled, expressions that are not linear.
        disabled: ids of the rules that cannot run here.

    Raises:
        ValueError: an operator's argument is wrong; the text names the place.
    """

    def __init__(self, program: Program, *, prefilter: bool = True) -> None:
        self._program = program
        self.notes: list[Note] = list(program.notes)
        self.initial = {encode(key): encode(value) for key, value in program.initial.items()}
        self.disabled: set[int] = set()
        self._targets: dict[tuple[Variable, ...], Targets] = {}
        self._pipelines: dict[tuple[str, ...], Pipeline] = {}
        self._judges: dict[tuple[Operator | None], Judge] = {}
        self.phases: dict[int, list[Step]] = {phase: self._steps(phase) for phase in PHASES}
        rules = [item for items in program.phases.values() for item in items if isinstance(item, Rule)]
        self._tags = [(rule.id, rule.tags, rule.msg) for rule in rules]
        self.scans: list[Scan] = []
        if prefilter:
            self._bundle()
        self.removed_by = lru_cache(maxsize=1024)(self._removed_by)

    def _steps(self, phase: int) -> list[Step]:
        steps: list[Step] = []
        waiting: list[tuple[Step, str]] = []
        skipping: list[tuple[Step, int]] = []
        for item in self._program.phases[phase]:
            if isinstance(item, Marker):
                waiting = self._land(waiting, item.name, len(steps))
                continue
            step = self._step(item)
            if step is not None:
                steps.append(step)
                if item.skip_after is not None:
                    waiting.append((step, item.skip_after))
                elif item.skip:
                    skipping.append((step, len(steps) + item.skip))
            waiting = self._land(waiting, str(item.id), len(steps), but=step)
        for step, _ in waiting:
            step.next = len(steps)
        for step, place in skipping:
            step.next = min(place, len(steps))
        return steps

    @staticmethod
    def _land(
        waiting: list[tuple[Step, str]], name: str, place: int, but: Step | None = None
    ) -> list[tuple[Step, str]]:
        for step, wanted in waiting:
            if wanted == name and step is not but:
                step.next = place
        return [each for each in waiting if each[1] != name or each[0] is but]

    def _step(self, rule: Rule) -> Step | None:
        links = []
        for link in rule.links:
            try:
                links.append(self._link(link))
            except UnavailableError as error:
                self.disabled.add(rule.id)
                self.notes.append(Note(link.where, f"rule {rule.id} is disabled: {error}"))
                return None
            except ValueError as error:
                raise ValueError(f"{link.where}: rule {rule.id}: {error}") from None
        return Step(rule, tuple(links))

    def _link(self, rule: Rule) -> Link:
        key = (rule.operator,)
        judge = self._judges.get(key)
        if judge is None:
            judge = self._judges[key] = operators.judge(rule.operator)
        if slow := getattr(judge, "slow", None):
            self.notes.append(
                Note(rule.where, f"rule {rule.id} is not matched in linear time, RE2 refuses its expression: {slow}")
            )
        targets = self._of(rule.variables) if rule.operator is not None else None
        return Link(rule, targets, self._pipeline(rule.transformations), judge)

    def _pipeline(self, names: tuple[str, ...]) -> Pipeline:
        names = tuple(transformation(name).name for name in names if name != "none")
        found = self._pipelines.get(names)
        if found is None:
            parent = self._pipeline(names[:-1]) if names else None
            found = self._pipelines[names] = Pipeline(names, parent)
        return found

    def _of(self, variables: tuple[Variable, ...]) -> Targets:
        found = self._targets.get(variables)
        if found is None:
            found = self._targets[variables] = Targets(variables)
        return found

    def _bundle(self) -> None:
        """Put the links that can be looked for in bulk into scans of about three."""
        together: dict[tuple[int, Pipeline, bool, tuple[Targets, ...]], list[Link]] = defaultdict(list)
        for phase in PHASES:
            for step in self.phases[phase]:
                link = step.links[0]
                if link.negated or link.targets is None or link.targets.changing:
                    continue
                if link.judge.quick or link.judge.scan is not None:
                    scope = self._scope(link.targets)
                    together[phase, link.pipeline, link.rule.multi_match, scope].append(link)
        for (_, pipeline, stages, scope), links in together.items():
            scanned = [link for link in links if link.judge.scan is not None]
            for start in range(0, len(scanned), BUNDLE):
                chosen = scanned[start : start + BUNDLE]
                scan = Scan(scope, pipeline, stages, Bundle([link.judge.scan or b"" for link in chosen]))
                self.scans.append(scan)
                for place, link in enumerate(chosen):
                    link.scan, link.place = scan, place
            others = [link for link in links if link.judge.scan is None]
            if others:
                scan = Scan(scope, pipeline, stages, Bundle(()))
                for link in others:
                    link.scan, link.precheck = scan, True

    def _scope(self, targets: Targets) -> tuple[Targets, ...]:
        """Return where to look for a rule in bulk: at least where it looks."""
        wanted = {str(each): each for each in targets.variables if not each.exclude}
        inputs = {name for name in wanted if name.partition(":")[0] in _INPUTS}
        if len(inputs) < 3:
            return (self._of(tuple(wanted[name] for name in sorted(wanted))),)
        shared = {name: Variable(name) for name in _INPUTS if name != "XML"} | {str(each): each for each in _XML}
        if not inputs <= shared.keys():
            # A member of its own is among all of them; a path of its own in a document is not.
            shared |= {name: wanted[name] for name in inputs if name.startswith("XML")}
        extra = sorted(wanted.keys() - inputs)
        parts = [self._of(tuple(shared[name] for name in sorted(shared)))]
        if extra:
            parts.append(self._of(tuple(wanted[name] for name in extra)))
        return tuple(parts)

    def _removed_by(self, ctl: Ctl) -> frozenset[int]:
        """Return the ids of the rules that a ``ctl:ruleRemove…`` means."""
        return frozenset(self._meant(ctl))

    def _meant(self, ctl: Ctl) -> Iterator[int]:
        if ctl.name.endswith("ById"):
            for rule, _, _ in self._tags:
                if any(first <= rule <= last for first, last in ctl.ranges):
                    yield rule
            return
        meant = matcher(ctl.value)
        for rule, tags, msg in self._tags:
            if (ctl.name.endswith("ByTag") and any(map(meant, tags))) or (
                ctl.name.endswith("ByMsg") and msg is not None and meant(str(msg))
            ):
                yield rule

    def __repr__(self) -> str:
        return f"<Plan of {sum(map(len, self.phases.values()))} steps, {len(self.scans)} scans>"


_XML = (Variable("XML", "/*"), Variable("XML", "//@*"))
