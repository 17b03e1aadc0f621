"""From rule files to a :class:`RuleSet`: what each directive does to what was read before it.

A directive that removes or changes rules acts on those read before it, as in ModSecurity 2 and as CRS's own files expect;
one that finds none is noted. A rule's default actions are those of its phase at the place where it stands.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from balancer_crs.lang import directives as known
from balancer_crs.lang import updates
from balancer_crs.lang.actions import parse_actions
from balancer_crs.lang.drafts import Draft, default_of
from balancer_crs.lang.errors import RuleError, nearest
from balancer_crs.lang.model import Default, EngineSettings, Marker, Note, RuleSet, Where
from balancer_crs.lang.operators import parse_operator
from balancer_crs.lang.reading import Directive, directives, read_text
from balancer_crs.lang.variables import parse_variables

__all__ = ["Parser", "parse_file", "parse_string"]

DEEPEST = 20
"""Files that include each other."""

_Obey = Callable[["Parser", Directive, Path], None]


def parse_file(path: str | Path) -> RuleSet:
    """Return the rules of a file and of those it includes.

    Raises:
        RuleError: something in them is wrong.
    """
    parser = Parser()
    parser.read(Path(path))
    return parser.finish()


def parse_string(text: str, name: str = "<string>", folder: str | Path = ".") -> RuleSet:
    """Return the rules of a text; files it names are looked for in ``folder``."""
    parser = Parser()
    parser.read_string(text, name, Path(folder))
    return parser.finish()


class Parser:
    """Reads one file after the other; :meth:`finish` gives what they said.

    Args:
        shown: gives a file's name for errors and places.
    """

    def __init__(self, shown: Callable[[Path], str] = str) -> None:
        self._shown = shown
        self.items: list[Draft | Marker] = []
        self.settings = EngineSettings()
        self.notes: list[Note] = []
        self._defaults: dict[int, Default] = {}
        self._chain: Draft | None = None
        self._ids: dict[int, Where] = {}
        self._open: list[Path] = []

    def read(self, path: Path, where: Where | None = None) -> None:
        """Read a file."""
        where = where or Where(self._shown(path), 1)
        if path.resolve() in self._open:
            raise RuleError(where, f"{path} includes itself")
        if len(self._open) >= DEEPEST:
            raise RuleError(where, f"more than {DEEPEST} files include each other")
        text = read_text(path, where)
        self._open.append(path.resolve())
        self.read_string(text, self._shown(path), path.parent)
        self._open.pop()

    def read_string(self, text: str, name: str, folder: Path) -> None:
        """Read a text as if it were a file."""
        for directive in directives(text, name):
            self.obey(directive, folder)
        if self._chain is not None:
            raise RuleError(self._chain.where, "the chain is broken: the file ends before its last rule")

    def obey(self, directive: Directive, folder: Path = Path()) -> None:
        """Do what one directive says; files it names are looked for in ``folder``."""
        obey = _DIRECTIVES.get(directive.name.lower())
        if self._chain is not None and obey not in (Parser._rule, Parser._action):
            raise RuleError(self._chain.where, f"the chain is broken: {directive.where} is no rule")
        if obey is not None:
            obey(self, directive, folder)
        else:
            self._setting(directive)

    def finish(self) -> RuleSet:
        """Return all that was read."""
        settings = replace(self.settings, defaults=MappingProxyType(dict(self._defaults)))
        items = (item if isinstance(item, Marker) else item.rule() for item in self.items)
        return RuleSet(tuple(items), settings, tuple(self.notes))

    def note(self, where: Where, text: str) -> None:
        """Keep something to tell at load."""
        self.notes.append(Note(where, text))

    def drafts(self) -> Iterable[Draft]:
        """Yield the rules read so far, the first of each chain."""
        return (item for item in self.items if isinstance(item, Draft))

    def remove(self, wanted: Callable[[Draft], bool]) -> int:
        """Forget rules, and return how many."""
        gone = [draft for draft in self.drafts() if wanted(draft)]
        names = set(map(id, gone))
        self.items = [item for item in self.items if id(item) not in names]
        for draft in gone:
            for each in (draft, *draft.links):
                self._ids.pop(each.id, None)
        return len(gone)

    def _rule(self, directive: Directive, folder: Path) -> None:
        words = directive.words
        if not 2 <= len(words) <= 3:
            raise RuleError(directive.where, f"expected SecRule VARIABLES OPERATOR [ACTIONS], not {len(words)} words")
        variables = parse_variables(words[0].text, words[0].where)
        if all(variable.exclude for variable in variables):
            raise RuleError(words[0].where(), "expected a variable that is not excluded")
        operator = parse_operator(words[1].text, words[1].where, folder)
        actions = parse_actions(words[2].text, words[2].where) if len(words) == 3 else ()
        self._add(Draft(directive.where, variables, operator, list(actions), None))

    def _action(self, directive: Directive, folder: Path) -> None:
        if len(directive.words) != 1:
            raise RuleError(directive.where, f"expected SecAction ACTIONS, not {len(directive.words)} words")
        word = directive.words[0]
        self._add(Draft(directive.where, (), None, list(parse_actions(word.text, word.where)), None))

    def _add(self, draft: Draft) -> None:
        starter = self._chain
        draft.check(starter=starter is None)
        default = self._defaults.get((starter or draft).phase, Default())
        if starter is None:
            draft.default = default
        else:
            draft.default = Default(transformations=default.transformations)
        if draft.id:
            if draft.id in self._ids:
                raise RuleError(draft.where, f"the id {draft.id} is that of the rule at {self._ids[draft.id]} too")
            self._ids[draft.id] = draft.where
        if starter is None:
            self.items.append(draft)
        else:
            starter.links.append(draft)
        self._chain = (starter or draft) if draft.chained else None

    def _marker(self, directive: Directive, folder: Path) -> None:
        if len(directive.words) != 1 or not directive.words[0].text:
            raise RuleError(directive.where, "expected SecMarker NAME")
        self.items.append(Marker(directive.words[0].text.strip("'"), directive.where))

    def _default(self, directive: Directive, folder: Path) -> None:
        if len(directive.words) != 1:
            raise RuleError(directive.where, f"expected SecDefaultAction ACTIONS, not {len(directive.words)} words")
        word = directive.words[0]
        phase, default = default_of(parse_actions(word.text, word.where), directive.where)
        self._defaults[phase] = default

    def _include(self, directive: Directive, folder: Path) -> None:
        if len(directive.words) != 1:
            raise RuleError(directive.where, f"expected {directive.name} FILE")
        word = directive.words[0]
        pattern = folder / word.text
        if not glob.has_magic(word.text):
            if directive.name.lower() == "includeoptional" and not pattern.exists():
                return
            self.read(pattern, word.where())
            return
        anchor = Path(pattern.anchor) if pattern.is_absolute() else Path()
        try:
            matches = anchor.glob(str(pattern.relative_to(anchor) if pattern.is_absolute() else pattern))
            found = sorted(path for path in matches if path.is_file())
        except (ValueError, NotImplementedError, OSError) as error:
            raise RuleError(word.where(), f"{word.text!r} names no files: {error}") from None
        if not found and directive.name.lower() == "include":
            raise RuleError(word.where(), f"no file is named like {pattern}")
        for path in found:
            self.read(path, word.where())

    def _setting(self, directive: Directive) -> None:
        changed = known.with_setting(self.settings, directive)
        if changed is None:
            hint = nearest(directive.name, [*_NAMES, *known.NAMES])
            raise RuleError(directive.where, f"unknown directive {directive.name[:60]!r}{hint}")
        self.settings, note = changed
        if note:
            self.note(directive.where, note)


def _updating(obey: Callable[[Parser, Directive], None]) -> _Obey:
    def changed(parser: Parser, directive: Directive, _folder: Path) -> None:
        obey(parser, directive)

    return changed


_NAMES: dict[str, _Obey] = {
    "SecRule": Parser._rule,
    "SecAction": Parser._action,
    "SecMarker": Parser._marker,
    "SecDefaultAction": Parser._default,
    "Include": Parser._include,
    "IncludeOptional": Parser._include,
    **{name: _updating(obey) for name, obey in updates.DIRECTIVES.items()},
}
_DIRECTIVES = {name.lower(): obey for name, obey in _NAMES.items()}
