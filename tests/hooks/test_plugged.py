"""Tests for :mod:`balancer.hooks.plugged`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator
from twisted.trial.unittest import SynchronousTestCase

from balancer.hooks.interfaces import Factory
from balancer.hooks.plugged import Pluggable, Plugged, invalid, plugged_settings, singular
from balancer.hooks.settings import Settings


class _Limit(Settings):
    rate: int = Field(default=5, ge=1)
    inner: Annotated[Plugged | None, Field()] = None


class _Raising(Settings):
    @model_validator(mode="before")
    @classmethod
    def _raise(cls, value: Any) -> Any:
        raise KeyError("a mistake in a plug-in")


class _Checks(Settings):
    first: Annotated[Plugged, Pluggable("checks")] = Field(default="limit", validate_default=True)  # type: ignore[assignment]
    more: tuple[Annotated[Plugged, Pluggable("checks")], ...] = ()


def _itself(settings: Any) -> Any:
    return settings


class _Checkroom:
    def factories(self, kind: str) -> Mapping[str, Factory]:
        assert kind == "checks"
        return {
            "limit": Factory("limit", _itself, _Limit, bare="rate"),
            "plain": Factory("plain", _itself),
            "raising": Factory("raising", _itself, _Raising),
        }


def _checks(data: Any) -> _Checks:
    return _Checks.model_validate(data, context={"registry": _Checkroom()})


class PluggableTests(SynchronousTestCase):
    """Fields that name plug-ins."""

    def _errors(self, data: Any) -> list[tuple[tuple[str | int, ...], str]]:
        error = self.assertRaises(ValidationError, _checks, data)
        return [(each["loc"], each["msg"]) for each in error.errors()]

    def test_forms(self) -> None:
        """A name, a name with settings, with none, or with a bare value; a default is validated too."""
        self.assertEqual(_checks({}).first, Plugged("limit", _Limit()))
        for form, rate in [("limit", 5), ({"limit": None}, 5), ({"limit": {"rate": 7}}, 7), ({"limit": 7}, 7)]:
            self.assertEqual(_checks({"first": form}).first, Plugged("limit", _Limit(rate=rate)))
        self.assertEqual(_checks({"first": Plugged("plain", Settings())}).first.name, "plain")
        self.assertEqual(str(_checks({"more": ["plain"]}).more[0]), "plain")

    def test_located(self) -> None:
        """Errors in settings are under the plug-in's name, in lists at their index."""
        found = self._errors({"first": {"limit": {"rate": 0}}, "more": ["plain", {"limit": {"x": 1}}]})
        self.assertEqual([loc for loc, _ in found], [("first", "limit", "rate"), ("more", 1, "limit", "x")])

    def test_refused(self) -> None:
        """Unknown names, two at once, and what is no name say what was expected."""
        for value, loc, words in [
            ("limt", (), "there is no check 'limt'; did you mean 'limit'?"),
            ({"limt": {}}, ("limt",), "there is no check 'limt'; did you mean 'limit'?"),
            ({"plain": {}, "limit": {}}, ("limit",), "expected one check, got a second, 'limit', after 'plain'"),
            ({}, (), "expected the name of a check"),
            (5, (), "expected the name of a check"),
            ({"raising": {}}, ("raising",), "the settings model of raising failed: KeyError"),
        ]:
            with self.subTest(str(value)):
                ((where, message),) = self._errors({"first": value})
                self.assertEqual(where, ("first", *loc))
                self.assertIn(words, message)

    def test_without_registry(self) -> None:
        """Validating without a registry is a mistake in a program, and says how to do it."""
        self.assertIn("context=", str(self.assertRaises(LookupError, _Checks.model_validate, {"first": "plain"})))

    def test_several(self) -> None:
        """Several at once have every problem of each reported."""
        given = {"limit": {"rate": 0}, "plain": {"x": 1}}
        error = self.assertRaises(ValidationError, plugged_settings, given, _Checkroom().factories("checks"), {})
        self.assertEqual([each["loc"] for each in error.errors()], [("limit", "rate"), ("plain", "x")])

    def test_words(self) -> None:
        """An error may hold braces; kinds have a singular."""
        self.assertIn("{a} {b}", str(invalid("{a} {b}", "x")))
        self.assertEqual([singular(kind) for kind in ("checks", "access_log_formats")], ["check", "access log format"])
