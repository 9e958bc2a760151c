"""Sources, the groups of components that people name, as a page may give them."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

from audionmf.errors import ParameterError
from audionmf.sources.known import REST

__all__ = ["N_COLOURS", "Group", "checked_name", "checked_sources", "usable_name"]

N_COLOURS = 8
_MAX_SOURCES = 32
_MAX_NAME = 60


@dataclass(frozen=True)
class Group:
    """A source: a name, a colour from the palette of the page, components.

    Parameters
    ----------
    id : str
        Chosen by the page, so that it can follow a source through changes.
    name : str
        What people call it.
    colour : int
        Place in the palette.
    components : tuple of int
        Its components; none in a source that waits for some.
    """

    id: str
    name: str
    colour: int
    components: tuple[int, ...]

    def told(self) -> dict[str, Any]:
        """Return what a page needs to know."""
        return dataclasses.asdict(self) | {"components": list(self.components)}


def checked_sources(groups: Sequence[Any], n_components: int) -> tuple[Group, ...]:
    """Return sources as a page gave them; no component is in two of them.

    Raises
    ------
    ParameterError
        If they make no sense.
    """
    if not isinstance(groups, list) or len(groups) > _MAX_SOURCES:
        raise ParameterError(f"there may be {_MAX_SOURCES} sources at most")
    made: list[Group] = []
    names: set[str] = set()
    owned: set[int] = set()
    for given in groups:
        group = _group(given)
        if group.name in names or group.id in {other.id for other in made}:
            raise ParameterError(f"there is a source {group.name!r} already; choose another name")
        for k in group.components:
            if not 0 <= k < n_components or k in owned:
                raise ParameterError(f"component {k} does not exist, or is in two sources")
            owned.add(k)
        names.add(group.name)
        made.append(group)
    return tuple(made)


def _group(given: Any) -> Group:
    fields = {"id": str, "name": str, "colour": int, "components": list}
    if not isinstance(given, dict) or set(given) != set(fields):
        raise ParameterError("a source has an id, a name, a colour and components")
    if not all(type(given[name]) is kind for name, kind in fields.items()):
        raise ParameterError("a source has an id, a name, a colour and components")
    if not all(type(k) is int for k in given["components"]):
        raise ParameterError("components are whole numbers")
    printable = given["id"].isprintable()
    if not (0 < len(given["id"]) <= _MAX_NAME and printable and 0 <= given["colour"] < N_COLOURS):
        raise ParameterError("a source has an id and a colour of the palette")
    name = checked_name(given["name"])
    return Group(given["id"], name, given["colour"], tuple(sorted(given["components"])))


def checked_name(given: Any) -> str:
    """Return the name of a source without spaces around it.

    Raises
    ------
    ParameterError
        If it is empty or too long, or has characters that a command line cannot carry.
    """
    if not isinstance(given, str):
        raise ParameterError("a source needs a name")
    name = given.strip()
    if not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        raise ParameterError(f"the name of a source has 1 to {_MAX_NAME} characters")
    if "=" in name or name.startswith("!") or name.lower() == REST:
        raise ParameterError(
            f"a source cannot be called {name!r}: '=' and a leading '!' have a meaning at the "
            f"command line, and {REST!r} is what is in no source"
        )
    return name


def usable_name(found: str, taken: Container[str]) -> str:
    """Return a name for a source that an analysis named, which no other has and a page may send."""
    plain = "".join(c if c.isprintable() and c != "=" else " " for c in found)
    kept = plain.strip().lstrip("!").strip()[:_MAX_NAME].strip()
    kept = "source" if not kept or kept.lower() == REST else kept
    name, n = kept, 1
    while name in taken:
        n += 1
        name = f"{kept[: _MAX_NAME - 4]} {n}"
    return name
