"""Which components make which source: by label, by hand, and corrected by hints.

A grouping maps the name of a source to the indices of its components. Every component belongs to at
most one source.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audionmf.errors import LimitError, ParameterError
from audionmf.io.files import one_form
from audionmf.sources.known import REST
from audionmf.sources.templates import MOST_COMPONENTS, Templates

__all__ = [
    "Grouping",
    "Hints",
    "beyond_doubt",
    "by_hand",
    "by_label",
    "parse_groups",
    "parse_hints",
    "place_hints",
]

Grouping = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Hints:
    """Which components are in one source, and which are not.

    Parameters
    ----------
    same : sequence of sequences of int
        The components of each are in the source of its first.
    apart : sequence of sequences of int
        Of each, all components but the first are not in the source of the first.
    """

    same: Sequence[Sequence[int]] = ()
    apart: Sequence[Sequence[int]] = ()

    @classmethod
    def of(cls, same: Any, apart: Any) -> Hints:
        """Return hints of lists of numbers, of Python or NumPy.

        Raises
        ------
        ParameterError
            If they are something else.
        """
        try:
            lists = [
                tuple(tuple(operator.index(k) for k in members) for members in hints)
                for hints in (same, apart)
            ]
        except TypeError:
            raise ParameterError(
                "hints are lists of components, such as same=[(3, 7)], apart=[(3, 5)]"
            ) from None
        return cls(*lists)

    def __bool__(self) -> bool:
        return bool(self.same or self.apart)

    def named(self) -> set[int]:
        """Return all components that the hints name."""
        return {k for members in (*self.same, *self.apart) for k in members}

    def check(self, n_components: int) -> None:
        """Check that the hints name components that there are.

        Raises
        ------
        ParameterError
            If one does not exist, a hint names fewer than two, or one of them twice.
        LimitError
            If they name more components than there may be.
        """
        if sum(map(len, (*self.same, *self.apart))) > MOST_COMPONENTS:
            raise LimitError(f"hints name more than {MOST_COMPONENTS} components; give fewer")
        for what, hints in (("same", self.same), ("apart", self.apart)):
            for members in hints:
                shown = ",".join(map(str, members))
                if len(members) < 2 or len(set(members)) < len(members):
                    raise ParameterError(
                        f"the hint {what} {shown!r} needs two different components or more"
                    )
                for component in members:
                    if not 0 <= component < n_components:
                        raise ParameterError(
                            f"the hint {what} {shown!r} names component {component}; "
                            f"there are 0 to {n_components - 1}"
                        )


def by_label(templates: Templates) -> Grouping:
    """Make one source of the templates of each label, in the order of the labels."""
    groups: dict[str, list[int]] = {}
    for k, label in enumerate(templates.labels):
        groups.setdefault(label, []).append(k)
    return {name: tuple(group) for name, group in groups.items()}


def by_hand(groups: Mapping[str, Sequence[int]], n_components: int) -> Grouping:
    """Check a grouping made by hand; what is in no group becomes the source ``rest``.

    Parameters
    ----------
    groups : mapping of str to sequence of int
        Components of each source.
    n_components : int
        Number of components there are.

    Returns
    -------
    dict of str to tuple of int
        The groups and, if any component is left, ``rest``.

    Raises
    ------
    ParameterError
        If a component does not exist or is in two groups, a group is empty, or its name is.
    """
    owner: dict[int, str] = {}
    for name, components in groups.items():
        if not name or not components:
            raise ParameterError(f"the group {name!r} needs a name and at least one component")
        for component in components:
            if not 0 <= component < n_components:
                raise ParameterError(
                    f"the group {name!r} names component {component}; "
                    f"there are 0 to {n_components - 1}"
                )
            if component in owner:
                raise ParameterError(
                    f"component {component} is in the groups {owner[component]!r} and {name!r}"
                )
            owner[component] = name
    grouping = {name: tuple(components) for name, components in groups.items()}
    left = tuple(k for k in range(n_components) if k not in owner)
    if left:
        if REST in grouping:
            raise ParameterError(
                f"the name {REST!r} is kept for what is in no group; choose another"
            )
        grouping[REST] = left
    return grouping


def place_hints(
    grouping: Mapping[str, Sequence[int]],
    hints: Hints,
    nearest: Callable[[int, Grouping], str],
) -> Grouping:
    """Move the components that hints name, and none besides.

    Parameters
    ----------
    grouping : mapping of str to sequence of int
        Components of each source, every component in one.
    hints : Hints
        What is said of them; checked.
    nearest : callable
        Told a component that has to go and the sources that it may go to, returns one of these.

    Returns
    -------
    dict of str to tuple of int
        The sources in their order, without those of which nothing is left.

    Raises
    ------
    ParameterError
        If the hints contradict each other, or a component may be in no source.
    """
    owner = {k: name for name, group in grouping.items() for k in group}
    units = _units(hints)
    for members in hints.same:
        for k in members:
            owner[k] = owner[units[k][0]]
    enemies = _enemies(hints, units)
    order = list(grouping)
    for first, *others in hints.apart:
        for k in others:
            if owner[k] != owner[first]:
                continue
            unit = units.get(k, (k,))
            shut = {owner[enemy] for one in unit for enemy in enemies.get(one, ())}
            going = set(unit)
            there = {
                name: tuple(c for c, o in owner.items() if o == name and c not in going)
                for name in order
                if name not in shut
            }
            if not there:
                raise ParameterError(
                    f"component {k} is said to be apart from {first} and has no other source to go "
                    "to; ask for more sources"
                )
            filled = {name: group for name, group in there.items() if group}
            # A source that others have left is as good as a new one.
            to = nearest(k, filled) if filled else next(iter(there))
            for one in unit:
                owner[one] = to
    made = {name: tuple(k for k in sorted(owner) if owner[k] == name) for name in order}
    return {name: group for name, group in made.items() if group}


def beyond_doubt(grouping: Mapping[str, Sequence[int]], hints: Hints) -> set[int]:
    """Return the components of which hints say whose they are, not only whose they are not.

    Parameters
    ----------
    grouping : mapping of str to sequence of int
        As `place_hints` gives it.
    hints : Hints
        The same hints.

    Returns
    -------
    set of int
        All that are named but those that were told to leave a source and had several to go to.
    """
    units, named = _units(hints), hints.named()
    if len(grouping) == 2:
        return named
    sent = {one for _, *others in hints.apart for k in others for one in units.get(k, (k,))}
    return named - sent


def _units(hints: Hints) -> dict[int, tuple[int, ...]]:
    """Return, of each component that is said to be with others, all of these, the first first."""
    units: dict[int, tuple[int, ...]] = {}
    for members in hints.same:
        joined = dict.fromkeys(one for k in members for one in units.get(k, (k,)))
        for one in joined:
            units[one] = tuple(joined)
    return units


def _enemies(hints: Hints, units: Mapping[int, Sequence[int]]) -> dict[int, set[int]]:
    """Return, of each component that is said to be apart from others, all of these."""
    enemies: dict[int, set[int]] = {}
    for first, *others in hints.apart:
        for k in others:
            if k in units.get(first, ()):
                raise ParameterError(
                    f"components {first} and {k} are said to be the same and apart; take one of "
                    "these hints away"
                )
            for one in units.get(k, (k,)):
                for other in units.get(first, (first,)):
                    enemies.setdefault(one, set()).add(other)
                    enemies.setdefault(other, set()).add(one)
    return enemies


def parse_hints(texts: Iterable[str], what: str) -> tuple[tuple[int, ...], ...]:
    """Read hints written as ``3,7`` or ``3,7,9-12``: components of which the first stays.

    Parameters
    ----------
    texts : iterable of str
        The hints.
    what : {"same", "apart"}
        What they say, for messages.

    Raises
    ------
    ParameterError
        If a text has another form.
    LimitError
        If it names more components than there may be.
    """
    hints = []
    for text in texts:
        try:
            ranges = [_parse_range(part) for part in text.split(",")]
        except ValueError:
            ranges = []
        if any(part.stop - 1 >= MOST_COMPONENTS for part in ranges):
            raise LimitError(
                f"--{what} {text} names components beyond the {MOST_COMPONENTS} that there may be"
            )
        members = tuple(k for part in ranges for k in part)
        if len(members) < 2:
            raise ParameterError(
                f"a hint is two components or more, such as --{what} 3,7; not {text!r}"
            )
        hints.append(members)
    return tuple(hints)


def parse_groups(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Read groups written as ``NAME=0,3,7`` or ``NAME=0-3,7``.

    Raises
    ------
    ParameterError
        If a text has another form, or a name comes twice.
    LimitError
        If it names more components than there may be.
    """
    groups: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, equals, numbers = one_form(text).partition("=")
        try:
            ranges = [_parse_range(part) for part in numbers.split(",")]
        except ValueError:
            ranges = []
        if any(part.stop - 1 >= MOST_COMPONENTS for part in ranges) or (
            sum(map(len, ranges)) > MOST_COMPONENTS
        ):
            raise LimitError(
                f"the group {name!r} names components beyond the {MOST_COMPONENTS} that there may be"
            )
        members = [k for part in ranges for k in part]
        if not (name and equals and members):
            raise ParameterError(f"a group is written NAME=0,3,7 or NAME=0-3,7, not {text!r}")
        if name in groups:
            raise ParameterError(f"the group {name!r} is given twice; put its components together")
        groups[name] = tuple(members)
    return groups


def _parse_range(text: str) -> range:
    first, dash, last = text.strip().partition("-")
    return range(int(first), int(last if dash else first) + 1)
