"""Which components make which source: by label, by hand.

A grouping maps the name of a source to the indices of its components. Every component belongs to at
most one source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from audionmf.errors import LimitError, ParameterError
from audionmf.io.files import one_form
from audionmf.sources.known import REST
from audionmf.sources.templates import MOST_COMPONENTS, Templates

__all__ = [
    "Grouping",
    "by_hand",
    "by_label",
    "parse_groups",
]

Grouping = dict[str, tuple[int, ...]]


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
