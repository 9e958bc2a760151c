"""Fields of a model file as values, each checked: the file may come from a stranger."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import TemplateError
from audionmf.rendering.absent import Absent
from audionmf.rendering.grouping import Grouping
from audionmf.sources.known import MAX_MARGIN
from audionmf.sources.labels import MOST_LABELS
from audionmf.sources.templates import (
    MOST_SOURCES,
)

if TYPE_CHECKING:
    from audionmf.sources.score import Score

__all__ = [
    "MAX_SAMPLES",
    "absent_of",
    "as_float32",
    "check_covariances",
    "check_shares",
    "complex_of",
    "divergence_of",
    "flag_of",
    "grouping_of",
    "keys_of",
    "margin_of",
    "number_of",
    "score_of",
    "text_of",
    "weight_of",
    "word_of",
]


def score_of(value: Any) -> Score | None:
    """Return a score; None stays."""
    if value is None:
        return None
    from audionmf.sources.score import Score

    return Score.from_dict(value)


def text_of(value: object) -> str:
    """Return a text; refuse anything else."""
    if not isinstance(value, str):
        raise TemplateError(f"a name is not a text: {reprlib.repr(value)}")
    return value


def word_of(value: object) -> str:
    """Return a few plain words."""
    if len(text := text_of(value)) > _MAX_WORD or not text.isprintable():
        raise TemplateError("why the factorisation stopped is not said in a few plain words")
    return text


def number_of(value: object, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`."""
    if type(value) is not int or not low <= value <= high:
        raise TemplateError(f"a number is not a whole one from {low} to {high}")
    return value


def keys_of(metadata: dict[str, Any]) -> tuple[int, ...]:
    """Return the MIDI keys of components."""
    return tuple(number_of(key, -1, 127) for key in metadata.get("keys", []))


def margin_of(metadata: dict[str, Any]) -> float | None:
    """Return the margin of harmonic and percussive sound; None where they are not the sources."""
    margin = metadata.get("margin")
    if margin is None:
        return None
    if type(margin) not in (int, float) or not 1 <= margin <= MAX_MARGIN:
        raise TemplateError(f"a margin is not a number from 1 to {MAX_MARGIN:g}")
    return float(margin)


def weight_of(metadata: dict[str, Any]) -> float:
    """Return how much each neighbour of a frame counts; as much as it does in files that do not say."""
    weight = metadata.get("neighbour_weight", 1.0)
    if type(weight) not in (int, float) or not _LEAST_WEIGHT <= weight <= 1:
        raise TemplateError(f"a weight of neighbours is not a number from {_LEAST_WEIGHT} to 1")
    return float(weight)


def complex_of(parts: NDArray[Any]) -> NDArray[np.complex64]:
    """Return spatial covariances of their real and imaginary parts."""
    if len(parts) != 2:
        raise TemplateError("spatial covariances need a real and an imaginary part")
    covariances = np.empty(parts.shape[1:], np.complex64)
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and refused later
        covariances.real, covariances.imag = parts
    return covariances


def check_shares(shares: NDArray[np.float32], n_groups: int, n_components: int) -> None:
    """Refuse shares of components that do not fit, or do not sum to 1 over the groups."""
    if shares.shape != (n_groups, n_components):
        raise TemplateError(
            f"shares of shape {shares.shape} do not fit {n_groups} groups of {n_components} components"
        )
    if not (shares >= 0).all() or np.abs(shares.sum(axis=0) - 1).max(initial=0) > _UNEVEN:
        raise TemplateError("the shares of a component are at least 0, and sum to 1")


def check_covariances(R: NDArray[np.complex64]) -> None:
    """Make sure that (..., 2, 2) matrices are Hermitian, positive semidefinite, of trace 2."""
    with np.errstate(all="ignore"):
        left, right, cross = R[..., 0, 0], R[..., 1, 1], R[..., 0, 1]
        wrong = [
            R - R.conj().swapaxes(-1, -2),
            left + right - 2,
            np.maximum(0, np.abs(cross) ** 2 - (left * right).real),
        ]
    if not all((np.abs(error) < _TOLERANCE).all() for error in wrong):
        raise TemplateError("spatial covariances are not positive semidefinite with trace 2")


def flag_of(metadata: dict[str, Any], name: str) -> bool:
    """Return whether something is so."""
    value = metadata[name]
    if not isinstance(value, bool):
        raise TemplateError(f"{name!r} must be true or false, not {reprlib.repr(value)}")
    return value


def grouping_of(metadata: dict[str, Any], n_components: int) -> Grouping:
    """Return groups that hold every component once."""
    last = n_components - 1
    groups = {
        text_of(name): tuple(number_of(k, 0, last) for k in group)
        for name, group in metadata["grouping"]
    }
    if len(groups) > MOST_SOURCES:
        raise TemplateError(f"there are {len(groups)} groups; {MOST_SOURCES} are the most")
    if sorted(k for group in groups.values() for k in group) != list(range(n_components)):
        raise TemplateError("the groups do not hold every component once")
    if len(groups) != len(metadata["grouping"]) or not all(groups):  # a silent source has none
        raise TemplateError("a group has no name, or the name of another")
    return groups


def absent_of(metadata: dict[str, Any]) -> Absent:
    """Return the runs of frames in which sources do not play."""
    absent = {
        text_of(name): tuple(
            (number_of(first, 0, MAX_SAMPLES), number_of(stop, 0, MAX_SAMPLES))
            for first, stop in runs
        )
        for name, runs in metadata.get("absent", [])
    }
    if sum(map(len, absent.values())) > MOST_SOURCES * MOST_LABELS:
        raise TemplateError("there are more runs of frames than labels may make")
    return absent


def divergence_of(metadata: dict[str, Any]) -> NDArray[np.float64]:
    """Return how the divergence fell: finite numbers."""
    values = np.asarray(metadata["divergence"], np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise TemplateError("the divergence is not a list of numbers")
    return values


def as_float32(array: NDArray[Any]) -> NDArray[np.float32]:
    """Return an array in single precision, in which it must be finite."""
    with np.errstate(over="ignore"):
        converted = array.astype(np.float32)
    if not np.isfinite(converted).all():
        raise TemplateError("activations or penalties have values that are not finite in float32")
    return converted


_TOLERANCE = 1e-3
_UNEVEN = 1e-3
_LEAST_WEIGHT = 1e-3


_MAX_WORD = 100
MAX_SAMPLES = 1 << 48
