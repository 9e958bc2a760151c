"""Marks in the spectrogram, which say what belongs to a source and what does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from audionmf.analysis.refinement import MOST_SPANS, Hint
from audionmf.errors import ParameterError

__all__ = ["checked_marks", "hint_of"]

_MAX_MARKS = 100
_MAX_SPANS = 4000
"""In all marks together; a hint has a bound of its own."""


def checked_marks(marks: Sequence[Any], known: set[str]) -> tuple[dict[str, Any], ...]:
    """Return marks as a page gave them, about sources of known ids.

    Raises
    ------
    ParameterError
        If they make no sense.
    """
    if not isinstance(marks, list) or len(marks) > _MAX_MARKS:
        raise ParameterError(f"there may be {_MAX_MARKS} marks at most")
    checked = tuple(_mark(mark, known) for mark in marks)
    if sum(len(mark.get("spans", ())) for mark in checked) > _MAX_SPANS:
        raise ParameterError("the marks are too fine together; take some of them away")
    return checked


def _mark(mark: Any, known: set[str]) -> dict[str, Any]:
    fields = {
        "source": str, "belongs": bool, "start": float, "end": float, "low": float, "high": float,
        "strength": float,
    }  # fmt: skip
    if not isinstance(mark, dict) or set(mark) - {"spans"} != set(fields):
        raise ParameterError("a mark has a source, a place and a strength")
    checked: dict[str, Any] = {
        name: float(mark[name]) if kind is float and type(mark[name]) is int else mark[name]
        for name, kind in fields.items()
    }
    if not all(type(checked[name]) is kind for name, kind in fields.items()):
        raise ParameterError("a mark has a source, a place and a strength")
    if checked["source"] not in known:
        raise ParameterError("a mark is about a source that does not exist")
    if "spans" in mark:
        checked["spans"] = _spans(mark["spans"])
    _hint(checked)
    return checked


def _spans(spans: Any) -> list[list[float]]:
    """Return the rectangles that a mark of a brush or a lasso consists of."""
    sound = isinstance(spans, list) and 0 < len(spans) <= MOST_SPANS
    if not sound or not all(isinstance(span, list) and len(span) == 4 for span in spans):
        raise ParameterError(f"a painted mark consists of 1 to {MOST_SPANS} rectangles")
    if not all(type(value) in (int, float) for span in spans for value in span):
        raise ParameterError("a rectangle has a start, an end, a lowest and a highest frequency")
    return [[float(value) for value in span] for span in spans]


def _hint(mark: dict[str, Any]) -> Hint:
    spans = tuple((span[0], span[1], span[2], span[3]) for span in mark.get("spans", ()))
    return Hint(**(mark | {"spans": spans}))


def hint_of(mark: dict[str, Any], names: dict[str, str]) -> Hint:
    """Return what a mark says to `refine`, with the name of its source for the id."""
    return _hint(mark | {"source": names[mark["source"]]})
