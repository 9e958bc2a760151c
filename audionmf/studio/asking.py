"""What a page asks for: the account of the sources, read field by field."""

from __future__ import annotations

from typing import Any, Protocol

from audionmf.errors import ParameterError
from audionmf.studio.given import Given
from audionmf.studio.recordings import Recording
from audionmf.studio.sources import checked_name
from audionmf.studio.ways import Said, Way, as_stems, blind, informed, seconds

__all__ = ["Files", "way_of"]

_MOST_SOURCES = 32
_MOST_ITEMS = 64
_FIELDS: dict[str, Any] = {
    "name": str, "examples": list, "banks": list, "notes": (list, type(None)), "alone": list,
    "absent": list, "voice": bool,
}  # fmt: skip


class Files(Protocol):
    """Whoever knows files by their ids; see `Session`."""

    def recording(self, key: str) -> Recording:
        """Return a recording; `UnknownIdError` if there is none."""

    def given(self, key: str) -> Given:
        """Return another file; `UnknownIdError` if there is none."""


def way_of(body: dict[str, Any], session: Files) -> Way:
    """Return how a page asks for a recording to be taken apart.

    Parameters
    ----------
    body : dict
        ``result`` ("stems" or "components"), ``components`` (their number, of each source where
        sources are known), ``free``, ``number`` (of sources, 0: found), ``kit``, and ``sources``,
        each with the fields of `Said`; files are ids. Maybe ``harmonic_percussive`` (bool).
    session : Files
        Knows the ids.

    Raises
    ------
    ParameterError
        If it makes no sense.
    UnknownIdError
        If there is no such file.
    """
    wanted = {
        "result": str, "components": int, "free": int, "number": int, "kit": bool, "sources": list,
    }  # fmt: skip
    body = {"harmonic_percussive": False, **body}
    wanted["harmonic_percussive"] = bool
    if not all(type(body.get(name)) is kind for name, kind in wanted.items()):
        raise ParameterError(f"an analysis is asked for with {', '.join(wanted)}")
    if len(body["sources"]) > _MOST_SOURCES:
        raise ParameterError(f"there may be {_MOST_SOURCES} sources at most")
    sources = [_said(given, session) for given in body["sources"]]
    names = [said.name.casefold() for said in sources]
    if len(set(names)) < len(names):
        twice = next(said.name for said in sources if names.count(said.name.casefold()) > 1)
        raise ParameterError(f"there are two sources called {twice!r}; call one something else")
    if body["result"] == "stems":
        number = body["number"] or None
        return as_stems(
            sources,
            free=body["free"],
            n_sources=number,
            kit=body["kit"],
            harmonic_percussive=body["harmonic_percussive"],
        )
    stems_only = body["kit"] or body["number"] or body["harmonic_percussive"]
    if body["result"] != "components" or stems_only:
        raise ParameterError("the result is 'stems' or 'components'; a kit or a number give stems")
    if not sources:
        return blind(body["components"])
    return informed(body["components"], sources, body["free"])


def _said(given: Any, session: Files) -> Said:
    if not isinstance(given, dict) or set(given) != set(_FIELDS):
        raise ParameterError(f"a source has {', '.join(_FIELDS)}")
    if not all(isinstance(given[name], kind) for name, kind in _FIELDS.items()):
        raise ParameterError("what is said of a source is of another kind than it should be")
    if any(
        len(given[name] or ()) > _MOST_ITEMS for name in _FIELDS if name not in ("name", "voice")
    ):
        raise ParameterError(f"of a source {_MOST_ITEMS} things of a kind may be known at most")
    return Said(
        name=checked_name(given["name"]),
        examples=tuple(session.recording(_id(key)) for key in given["examples"]),
        banks=tuple(_part(pair, "bank", session) for pair in given["banks"]),
        notes=None if given["notes"] is None else _part(given["notes"], "score", session),
        alone=tuple(map(_span, given["alone"])),
        absent=tuple(map(_span, given["absent"])),
        voice=given["voice"],
    )


def _id(key: Any) -> str:
    if not isinstance(key, str):
        raise ParameterError("a file is named by its id")
    return key


def _part(pair: Any, kind: str, session: Files) -> Any:
    """Return a file with the name of a part that is in it; of a bank an empty one is all of it."""
    if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[1], str):
        raise ParameterError(f"a {kind} is named by its id, with a part of it")
    item = session.given(_id(pair[0]))
    whole = kind == "bank" and not pair[1]
    if item.kind != kind or not (whole or pair[1] in item.parts):
        raise ParameterError(
            f"{item.name!r} is no {kind} with {pair[1]!r}; it has {', '.join(map(repr, item.parts))}"
        )
    return item, pair[1]


def _span(span: Any) -> tuple[float, float]:
    if not isinstance(span, list) or len(span) != 2:
        raise ParameterError("a range has a start and an end")
    start, end = seconds(span[0]), seconds(span[1])
    if not start < end:
        raise ParameterError(f"a range ends after it starts, not at {end:g} s")
    return start, end
