"""Marks in the spectrogram, which say what belongs to a source and what does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from audionmf.analysis.refinement import Hint
from audionmf.errors import ParameterError

__all__ = ["checked_marks", "hint_of"]

_MAX_MARKS = 100


def checked_marks(marks: Sequence[Any], known: set[str]) -> tuple[dict[str, Any], ...]:
    """Return marks as a page gave them, about sources of known ids.

    Raises
    ------
    ParameterError
        If they make no sense.
    """
    if not isinstance(marks, list) or len(marks) > _MAX_MARKS:
        raise ParameterError(f"there may be {_MAX_MARKS} marks at most")
    return tuple(_mark(mark, known) for mark in marks)


def _mark(mark: Any, known: set[str]) -> dict[str, Any]:
    fields = {
        "source": str, "belongs": bool, "start": float, "end": float, "low": float, "high": float,
        "strength": float,
    }  # fmt: skip
    if not isinstance(mark, dict) or set(mark) != set(fields):
        raise ParameterError("a mark has a source, a place and a strength")
    checked: dict[str, Any] = {
        name: float(mark[name]) if kind is float and type(mark[name]) is int else mark[name]
        for name, kind in fields.items()
    }
    if not all(type(checked[name]) is kind for name, kind in fields.items()):
        raise ParameterError("a mark has a source, a place and a strength")
    if checked["source"] not in known:
        raise ParameterError("a mark is about a source that does not exist")
    Hint(**checked)
    return checked


def hint_of(mark: dict[str, Any], names: dict[str, str]) -> Hint:
    """Return what a mark says to `refine`, with the name of its source for the id."""
    return Hint(**(mark | {"source": names[mark["source"]]}))
