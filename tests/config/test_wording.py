"""Tests for :mod:`balancer.config.wording`."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from twisted.trial.unittest import SynchronousTestCase

from balancer.config.document import BROKEN
from balancer.config.reading import read_document_text
from balancer.config.shapes import Shapes
from balancer.config.wording import problems_of
from balancer.hooks.settings import Settings
from tests.config.samples import Samples


class _Part(Settings):
    size: int = 0


class _Rule(Settings):
    regex: str = Field(description="RE2 expression.")
    status: int = Field(description="Status of the answer.")


class _Whole(Settings):
    rule: _Rule | None = None
    flag: bool = False
    count: int = 0
    ratio: float = 0.5
    text: str = ""
    some: Annotated[tuple[int, ...], Field(min_length=1)] = (1,)
    short: Annotated[str, Field(max_length=3)] = ""
    coded: Annotated[str, Field(pattern="^[a-z]$")] = ""
    few: Annotated[list[int], Field(max_length=1)] = []
    part: _Part = _Part()
    parts: list[_Part] = []
    named: dict[str, _Part] = {}
    either: int | list[int] | _Part = 0
    choice: Literal["a", "b"] = "a"
    token: Annotated[str, Field(min_length=9)] = "123456789"
    bounded: Annotated[int, Field(gt=1, lt=9, multiple_of=2)] = 2
    finite: Annotated[float, Field(allow_inf_nan=False)] = 1.0


class ProblemsOfTests(SynchronousTestCase):
    """pydantic's errors in plain words."""

    def _said(self, data: Any) -> list[str]:
        text = data if isinstance(data, str) else json.dumps(data)
        document = read_document_text(text, "f", environment={})
        error = self.assertRaises(ValidationError, _Whole.model_validate, document.data)
        return [f"{each.path}: {each.message}" for each in problems_of(error, document, Shapes(_Whole, Samples()))]

    def test_words(self) -> None:
        """Every kind of error says what was expected and what was there."""
        for data, expected in [
            ({"flag": "perhaps"}, "flag: expected true or false, got 'perhaps'"),
            ({"flag": "5"}, "flag: expected true or false, got '5'"),
            ({"count": "x"}, "count: expected a whole number, got 'x'"),
            ({"count": 1.5}, "count: expected a whole number, got 1.5"),
            ({"count": None}, "count: expected a whole number, got nothing"),
            ({"ratio": []}, "ratio: expected a number, got an empty list"),
            ({"text": 5}, "text: expected text, got 5 (quote it)"),
            ({"text": True}, "text: expected text, got true (quote it)"),
            ({"text": {}}, "text: expected text, got an empty mapping"),
            ({"short": "long"}, "short: expected text of at most 3 characters, got 'long'"),
            ({"coded": ""}, "coded: expected text of the form ^[a-z]$, got an empty text"),
            ({"few": [1, 2]}, "few: expected at most 1 entry, got a list"),
            ({"some": []}, "some: expected at least 1 entry, got an empty list"),
            ({"some": ["x"]}, "some[0]: expected a whole number, got 'x'"),
            ({"few": 5}, "few: expected a list, got 5"),
            ({"part": 5}, "part: expected a mapping (keys: size), got 5"),
            ({"parts": [5]}, "parts[0]: expected a mapping (keys: size), got 5"),
            ({"named": [1]}, "named: expected a mapping, got a list"),
            ({"named": {"a": {"sze": 1}}}, "named.a.sze: unknown key 'sze'; did you mean 'size'?"),
            ({"choice": "c"}, "choice: expected a or b, got 'c'"),
            ({"token": "sesame"}, "token: expected text of at least 9 characters"),
            ({"bounded": 0}, "bounded: expected a value above 1, got 0"),
            ({"bounded": 10}, "bounded: expected a value below 9, got 10"),
            ({"bounded": 3}, "bounded: expected a multiple of 2, got 3"),
            ("finite: .inf", "finite: expected a finite number, got inf"),
            ({"text": list("x" * 99)}, "text: expected text, got a list"),
            ({"count": "x" * 99}, f"count: expected a whole number, got '{'x' * 56}…"),
        ]:
            with self.subTest(str(data)):
                self.assertEqual(self._said(data), [expected])

    def test_missing(self) -> None:
        """What is missing is said in the words of its description, names in them left as they are."""
        self.assertEqual(
            self._said({"rule": {}}),
            ["rule.regex: expected 'regex': RE2 expression", "rule.status: expected 'status': status of the answer"],
        )

    def test_unions(self) -> None:
        """A union says once what it takes; where one arm fits further, only what that says."""
        self.assertEqual(
            self._said({"either": "x"}),
            ["either: expected a whole number or a list or a mapping (keys: size), got 'x'"],
        )
        self.assertEqual(self._said({"either": ["x"]}), ["either[0]: expected a whole number, got 'x'"])
        self.assertEqual(self._said({"either": {"size": "x"}}), ["either.size: expected a whole number, got 'x'"])

    def test_broken(self) -> None:
        """A value that could not be read is not complained about again; its key may be."""
        document = read_document_text("count: ${NOPE}\ncuont: ${NOPE}\n", environment={})
        self.assertIs(document.data["count"], BROKEN)
        error = self.assertRaises(ValidationError, _Whole.model_validate, document.data)
        found = problems_of(error, document, Shapes(_Whole, Samples()))
        self.assertEqual([problem.path for problem in found], ["cuont"])
