"""Looking at many values at once: which rules can match at all in what an exchange holds now.

Values are joined by newlines, transformed together where that is the same, and searched once. What is said is a superset:
``no`` is sure, ``perhaps`` is looked at value by value.
"""

from __future__ import annotations

from collections.abc import Iterator

from balancer_crs.engine.patterns import Bundle
from balancer_crs.engine.plan import Link, Scan
from balancer_crs.engine.transformations import Pipeline, Transformation
from balancer_crs.engine.variables import Facts, Target, Targets

_NONE: frozenset[int] = frozenset()
_Together = bytes | list[bytes]
_FEW = 16
"""Values that are looked at together where many are: one look costs two microseconds, however few they are."""

_LARGE = 1024
"""Bytes from which on what became of a value is kept: rules that look at it one by one want it again."""

_MANY = 4
"""Values from which on it pays to transform them together."""


class Memo:
    """What was found in texts that come again and again, as the headers of browsers do. Two generations, bounded.

    Args:
        most: texts of one generation.
        longest: bytes of a text that is remembered.
    """

    __slots__ = ("_longest", "_most", "_new", "_old")

    def __init__(self, most: int = 4096, longest: int = 512) -> None:
        self._most = most
        self._longest = longest
        self._new: dict[tuple[Bundle, bytes], frozenset[int]] = {}
        self._old: dict[tuple[Bundle, bytes], frozenset[int]] = {}

    def find(self, bundle: Bundle, text: bytes) -> frozenset[int]:
        """Return what the bundle finds in the text."""
        if len(text) > self._longest:
            return bundle.find(text)
        key = (bundle, text)
        found = self._new.get(key)
        if found is None:
            found = self._old.get(key)
            if found is None:
                found = bundle.find(text)
            if len(self._new) >= self._most:
                self._old, self._new = self._new, {}
            self._new[key] = found
        return found


class Scanner:
    """What is looked at in one phase of one exchange.

    Args:
        facts: of the exchange.
        memo: what was found in the exchanges before; None to search always.
    """

    __slots__ = ("_changed", "_facts", "_gathered", "_hits", "_joined", "_large", "_memo", "_raw", "_stepped")

    def __init__(self, facts: Facts, memo: Memo | None) -> None:
        self._facts = facts
        self._memo = memo
        self._gathered: dict[Targets, list[Target]] = {}
        self._raw: dict[Targets, tuple[bytes, int]] = {}
        self._joined: dict[tuple[tuple[Targets, ...], Pipeline, bool], bytes | None] = {}
        self._large: dict[tuple[Pipeline, bytes], bytes] = {}
        self._hits: dict[Scan, frozenset[int]] = {}
        self._stepped: dict[tuple[Targets, Pipeline], _Together] = {}
        self._changed: dict[tuple[Targets, Pipeline], list[bytes] | None] = {}

    def gather(self, targets: Targets) -> list[Target]:
        """Return the values that a rule looks at."""
        if targets.changing:
            return targets.gather(self._facts)
        found = self._gathered.get(targets)
        if found is None:
            found = self._gathered[targets] = targets.gather(self._facts)
        return found

    def possible(self, link: Link) -> bool:
        """Return whether the link, which has a scan, can match any of its values."""
        scan = link.scan
        assert scan is not None
        if link.precheck:
            text = self._text(scan)
            return text is not None and link.judge.possible(text)
        hits = self._hits.get(scan)
        if hits is None:
            text = self._text(scan)
            if text is None:
                hits = _NONE
            elif self._memo is None or not scan.recurring:
                hits = scan.bundle.find(text)
            else:
                hits = self._memo.find(scan.bundle, text)
            self._hits[scan] = hits
        return link.place in hits

    def values(self, targets: Targets, pipeline: Pipeline) -> list[bytes] | None:
        """Return what the pipeline makes of each value of these targets, if that can be had for all at once; else None."""
        if targets.changing:
            return None
        key = (targets, pipeline)
        if key not in self._changed:
            self._changed[key] = self._split(targets, pipeline)
        return self._changed[key]

    def _split(self, targets: Targets, pipeline: Pipeline) -> list[bytes] | None:
        found = self.gather(targets)
        if len(found) < _MANY:
            return None
        values = [value for _, _, value in found]
        text = pipeline.joined(b"\n".join(values), len(values))
        if text is None or text.count(b"\n") != len(values) - 1:
            return None
        return text.split(b"\n")

    def apply(self, pipeline: Pipeline, value: bytes) -> bytes:
        """Return what the pipeline makes of a value; of a large one what it once made is kept."""
        if len(value) < _LARGE or pipeline.parent is None:
            return pipeline.apply(value)
        key = (pipeline, value)
        found = self._large.get(key)
        if found is None:
            found = self._large[key] = pipeline.steps[-1].apply(self.apply(pipeline.parent, value))
        return found

    def _text(self, scan: Scan) -> bytes | None:
        """Return all values of a scan's scope, transformed and joined; None if there are none."""
        key = (scan.scope, scan.pipeline, scan.stages)
        if key not in self._joined:
            self._joined[key] = self._transformed(scan)
        return self._joined[key]

    def _transformed(self, scan: Scan) -> bytes | None:
        texts: list[bytes] = []
        for part in scan.scope:
            if part not in self._raw:
                values = list({value for _, _, value in self.gather(part)})
                self._raw[part] = (b"\n".join(values), len(values))
            if self._raw[part][1]:
                if scan.stages:
                    texts += {_text_of(each) for each in self._all_stages(part, scan.pipeline)}
                else:
                    texts.append(_text_of(self._together(part, scan.pipeline)))
        if not texts:
            return None
        return texts[0] if len(texts) == 1 else b"\n".join(texts)

    def _all_stages(self, part: Targets, pipeline: Pipeline) -> Iterator[_Together]:
        stage: Pipeline | None = pipeline
        while stage is not None:
            yield self._together(part, stage)
            stage = stage.parent

    def _together(self, part: Targets, pipeline: Pipeline) -> _Together:
        """Return the values after the pipeline, step by step: pipelines that begin alike share what they share.

        They stay joined as long as a step can be done so, and are a list from there on.
        """
        text, count = self._raw[part]
        parent = pipeline.parent
        if parent is None:
            return text
        if count == 1:
            return self.apply(pipeline, text)
        key = (part, pipeline)
        after = self._stepped.get(key)
        if after is None:
            after = self._stepped[key] = self._step(part, parent, pipeline.steps[-1], count)
        return after

    def _step(self, part: Targets, parent: Pipeline, step: Transformation, count: int) -> _Together:
        before = self._together(part, parent)
        if isinstance(before, bytes):
            single = before.count(b"\n") == count - 1
            if not (single and step.by_line):
                joined = step.joined(before, single)
                if joined is not None:
                    return joined
            if single:
                before = before.split(b"\n")
            else:
                before = [parent.apply(value) for value in {value for _, _, value in self.gather(part)}]
        return list(map(step.apply, before))

    def narrowed(self, link: Link, values: list[bytes]) -> Iterator[int]:
        """Yield the places of the values that the link, which has a scan, can match: looked at a few together."""
        scan = link.scan
        assert scan is not None
        for start in range(0, len(values), _FEW):
            if link.place in scan.bundle.find(b"\n".join(values[start : start + _FEW])):
                yield from range(start, min(start + _FEW, len(values)))


def _text_of(values: _Together) -> bytes:
    return values if isinstance(values, bytes) else b"\n".join(values)
