"""What a person made of the parts: sources, marks, gains; and the steps that led there."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from audionmf.errors import ParameterError
from audionmf.sources.known import REST
from audionmf.studio.marks import checked_marks
from audionmf.studio.models import Model
from audionmf.studio.sources import Group, checked_sources

__all__ = [
    "HISTORY_BYTES",
    "MOST_STEPS",
    "Arrangement",
    "History",
    "Saved",
    "arrangement_of",
    "bound_histories",
]

MOST_STEPS = 100
"""Steps that can be taken back."""

HISTORY_BYTES = 256 << 20
"""Bytes that the steps of all recordings may take together."""

_BYTES_A_CHARACTER = 4
_MOST_STEP_BYTES = 1 << 20
_LEAST_GAIN, _MOST_GAIN = -60.0, 12.0


@dataclass(frozen=True)
class Arrangement:
    """Sources, marks and gains.

    Parameters
    ----------
    groups : tuple of Group
        The sources.
    marks : tuple of dict
        As `audionmf.studio.marks` checks them.
    gains : dict of str to float
        In decibels, by the id of the source, or "rest"; what is not in it has 0.
    """

    groups: tuple[Group, ...] = ()
    marks: tuple[dict[str, Any], ...] = ()
    gains: Mapping[str, float] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """Return what a page needs to know, in the form in which it says it."""
        return {
            "sources": [group.told() for group in self.groups],
            "marks": list(self.marks),
            "gains": dict(self.gains),
        }

    def mixed(self, silent: Sequence[Any]) -> dict[str, float]:
        """Return the gains by the names of the sources, in decibels; none of 0.

        Parameters
        ----------
        silent : sequence of str
            Ids of sources that are out, "rest" among them.

        Raises
        ------
        ParameterError
            If there is no such source.
        """
        names = {group.id: group.name for group in self.groups} | {REST: REST}
        if not isinstance(silent, list) or not all(
            isinstance(key, str) and key in names for key in silent
        ):
            raise ParameterError("what is silent are ids of sources")
        filled = {group.id for group in self.groups if group.components} | {REST}
        gains = dict(self.gains) | dict.fromkeys(silent, -math.inf)
        return {names[key]: gain for key, gain in gains.items() if key in filled}


def arrangement_of(told: Mapping[str, Any], n_parts: int) -> Arrangement:
    """Return what a page, or a file, says.

    Parameters
    ----------
    told : mapping
        With ``sources``, ``marks`` and ``gains``.
    n_parts : int
        Parts that there are.

    Raises
    ------
    ParameterError
        If it makes no sense.
    """
    if set(told) != {"sources", "marks", "gains"}:
        raise ParameterError("sources, marks and gains are told together")
    groups = checked_sources(told["sources"], n_parts)
    ids = {group.id for group in groups}
    return Arrangement(groups, checked_marks(told["marks"], ids), _gains(told["gains"], ids))


def _gains(gains: Any, known: set[str]) -> dict[str, float]:
    if not isinstance(gains, dict):
        raise ParameterError("gains are told by source")
    for key, gain in gains.items():
        if key not in known and key != REST:
            raise ParameterError("a gain is of a source that does not exist")
        if type(gain) not in (int, float) or not _LEAST_GAIN <= gain <= _MOST_GAIN:
            raise ParameterError(
                f"a gain is a number of decibels from {_LEAST_GAIN:g} to {_MOST_GAIN:g}"
            )
    return {key: round(float(gain), 1) for key, gain in gains.items() if not math.isclose(gain, 0)}


@dataclass(frozen=True)
class _Step:
    model: Model
    arranged: Arrangement

    @cached_property
    def n_bytes(self) -> int:
        """About the bytes that the arrangement takes: numbers take more than as text."""
        return _BYTES_A_CHARACTER * len(json.dumps(self.arranged.told()))

    def told(self) -> dict[str, Any]:
        return {"model": self.model.id, **self.arranged.told()}


class History:
    """Steps that can be taken back, and those that were; the latest are last in both.

    Its `key` names the work on one analysis, from its first step to its last.
    """

    def __init__(self) -> None:
        self.key = secrets.token_hex(8)
        self.past: list[_Step] = []
        self.future: list[_Step] = []

    def did(self, model: Model, before: Arrangement) -> None:
        """Note how it was before a change."""
        self.past.append(_Step(model, before))
        del self.past[:-MOST_STEPS]
        self.future.clear()

    def moved(self, kind: str, model: Model, before: Arrangement) -> None:
        """Note how it was before a step was taken back ("undo") or again ("redo")."""
        to, away = (self.future, self.past) if kind == "undo" else (self.past, self.future)
        to.append(_Step(model, before))
        del to[:-MOST_STEPS]
        del away[-1:]

    def n_bytes(self, present: Model) -> int:
        """Return the bytes that the steps take, with the models that nothing else needs."""
        steps = [*self.past, *self.future]
        models = {step.model.id: step.model for step in steps if step.model is not present}
        return sum(step.n_bytes for step in steps) + sum(m.n_bytes for m in models.values())

    def forget(self) -> bool:
        """Forget the step that is farthest from now; False if there is none."""
        farthest = max(self.past, self.future, key=len)
        del farthest[:1]
        return bool(self.past or self.future)

    def told(self, present: Model) -> dict[str, Any]:
        """Return what a page needs to know: the steps, and the models they were made with."""
        steps = [*self.past, *self.future]
        models = {step.model.id: step.model for step in steps if step.model is not present}
        return {
            "past": [step.told() for step in self.past],
            "future": [step.told() for step in self.future],
            "models": [model.told() for model in models.values()],
        }

    def saved(self, present: Model) -> dict[str, list[dict[str, Any]]]:
        """Return the steps of the present model, next to now: the others are of parts that went."""
        return {
            "past": _bounded(_latest(self.past, present)),
            "future": _bounded(_latest(self.future, present)),
        }

    @classmethod
    def of(
        cls, model: Model, past: Sequence[Arrangement], future: Sequence[Arrangement]
    ) -> History:
        """Return the history of a model from its steps."""
        made = cls()
        made.past = [_Step(model, arranged) for arranged in past]
        made.future = [_Step(model, arranged) for arranged in future]
        return made


def bound_histories(histories: Sequence[tuple[History, Model]], n_bytes: int) -> None:
    """Forget steps until all that are left fit, those of the first histories first.

    Parameters
    ----------
    histories : sequence of (History, Model)
        Each with the model that it goes on from, which stays.
    n_bytes : int
        Most bytes of all together.
    """
    total = sum(history.n_bytes(present) for history, present in histories)
    for history, present in histories:
        others = total - history.n_bytes(present)
        while others + history.n_bytes(present) > n_bytes and history.forget():
            pass
        total = others + history.n_bytes(present)


def _latest(steps: Sequence[_Step], present: Model) -> list[_Step]:
    n_others = next(
        (i for i, step in enumerate(reversed(steps)) if step.model is not present), len(steps)
    )
    return list(steps[len(steps) - n_others :])


def _bounded(steps: Sequence[_Step]) -> list[dict[str, Any]]:
    """Return the latest steps, as many as a project has room for."""
    kept: list[dict[str, Any]] = []
    n_bytes = 0
    for step in reversed(steps):
        told = step.arranged.told()
        n_bytes += len(json.dumps(told))
        if n_bytes > _MOST_STEP_BYTES:
            break
        kept.append(told)
    return kept[::-1]


@dataclass(frozen=True)
class Saved:
    """An arrangement with the steps around it, as it comes out of a file."""

    now: Arrangement
    past: tuple[Arrangement, ...] = ()
    future: tuple[Arrangement, ...] = ()

    @classmethod
    def of(cls, told: Mapping[str, Any], n_parts: int) -> Saved:
        """Return what a project says.

        Raises
        ------
        ParameterError
            If it makes no sense.
        """
        now = arrangement_of({name: told[name] for name in ("sources", "marks", "gains")}, n_parts)
        history = told["history"]
        if not isinstance(history, dict) or set(history) != {"past", "future"}:
            raise ParameterError("a history has a past and a future")
        sides = [history["past"], history["future"]]
        if not all(isinstance(side, list) and len(side) <= MOST_STEPS for side in sides):
            raise ParameterError(f"a history has {MOST_STEPS} steps at most")
        if not all(isinstance(step, dict) for side in sides for step in side):
            raise ParameterError("a step holds sources, marks and gains")
        past, future = (tuple(arrangement_of(s, n_parts) for s in side) for side in sides)
        return cls(now, past, future)
