"""Decompositions of recordings into components, and how each was asked for."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from audionmf.errors import ParameterError
from audionmf.rendering.blocks import render_span
from audionmf.rendering.decomposition import Decomposition
from audionmf.studio.recordings import Recording, sixteen_bits
from audionmf.studio.views import Rows, components

__all__ = ["MAX_COMPONENTS", "Model", "Way", "blind", "informed", "seconds"]

MAX_COMPONENTS = 64
_MAX_SECONDS = 1e9
_LINEAR = {"mask_exponent": 1.0}
_LINEAR_NAMED = _LINEAR | {
    "dictionary": "nmf", "pitch_shifts": 0, "spatial": False, "model": "frames",
    "exemplars": False,
}  # fmt: skip


@dataclass(frozen=True)
class Way:
    """How a decomposition was asked for, enough to write the command line that does it again.

    Parameters
    ----------
    settings : dict
        The options that are not at their defaults.
    examples : dict of str to list of Recording
        Recordings of sources.
    solo : dict of str to list of (float, float)
        Where sources play alone.
    free : int
        Further components.
    by_hand : bool
        It was refined by marks, or its iterations were ended by hand: no command line does that.
    """

    settings: Mapping[str, Any]
    examples: Mapping[str, Sequence[Recording]] = field(default_factory=dict)
    solo: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    free: int = 0
    by_hand: bool = False

    @property
    def named(self) -> bool:
        """Whether the sources were known before."""
        return bool(self.examples or self.solo)


@dataclass(eq=False)
class Model:
    """A decomposition into components, each one a group of its own.

    Parameters
    ----------
    recording : Recording
        What it was made from.
    parts : Decomposition
        One group a component.
    way : Way
        How it was asked for.
    id : str
        Random.
    """

    recording: Recording
    parts: Decomposition
    way: Way
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    @cached_property
    def described(self) -> list[dict[str, Any]]:
        """The components in words and figures."""
        return components(self.parts, self._rows)

    @property
    def templates(self) -> bytes:
        """Templates as the page draws them, (n_components, N_ROWS) float32."""
        drawn = self._rows.draw(self.parts.templates.templates)
        return np.ascontiguousarray(drawn.T, "<f4").tobytes()

    @property
    def activations(self) -> bytes:
        """Activations, (n_components, n_frames) float32."""
        return np.ascontiguousarray(self.parts.activations, "<f4").tobytes()

    @property
    def _rows(self) -> Rows:
        return Rows(self.parts.templates.stft, self.recording.sample_rate)

    def sound(self, index: int) -> tuple[bytes, float] | None:
        """Return a block of all components as 16-bit samples, and what full scale stands for.

        They lie component by component, channel by channel; of more than two channels the even and
        the odd ones are joined. None where there is no such block.
        """
        recording, block = self.recording, self.recording.block
        start = index * block
        if not 0 <= start < recording.n_samples:
            return None
        end = min(start + block, recording.n_samples)
        return sixteen_bits(render_span(recording.audio, self.parts, start, end))

    def told(self) -> dict[str, Any]:
        """Return what a page needs to know."""
        H = self.parts.activations
        return {
            "id": self.id,
            "recording": self.recording.id,
            "components": self.described,
            "frames": 0 if H is None else H.shape[1],
            "block": self.recording.block,
            "channels": min(2, self.recording.n_channels),
            "divergence": self.parts.divergence.tolist(),
            "named": self.way.named,
            "refined": self.way.by_hand,
        }


def blind(n_components: int) -> Way:
    """Ask for a number of components.

    Raises
    ------
    ParameterError
        If the number is out of its range.
    """
    if type(n_components) is not int or not 2 <= n_components <= MAX_COMPONENTS:
        raise ParameterError(f"the number of components is from 2 to {MAX_COMPONENTS}")
    return Way({"n_components": n_components, **_LINEAR})


def informed(
    n_components: int,
    examples: Mapping[str, Sequence[Recording]],
    solo: Mapping[str, Sequence[tuple[float, float]]],
    free: int,
) -> Way:
    """Ask for sources that are known from examples, or from where each plays alone.

    Raises
    ------
    ParameterError
        If numbers are out of their range, or no source is known.
    """
    counts = (n_components, free)
    if not all(type(n) is int for n in counts) or n_components < 1 or free < 0:
        raise ParameterError("numbers of components are whole, 1 or more")
    n_sources = len({*examples, *solo})
    if not n_sources:
        raise ParameterError("name at least one source, by an example or by where it plays alone")
    if n_components * n_sources + free > MAX_COMPONENTS:
        raise ParameterError(
            f"{n_components} components for each of {n_sources} sources are more than the "
            f"{MAX_COMPONENTS} that the studio shows; take fewer"
        )
    return Way({"n_components": n_components, **_LINEAR_NAMED}, examples, solo, free)


def seconds(value: Any) -> float:
    """Return a time.

    Raises
    ------
    ParameterError
        If it is not a number of seconds.
    """
    if type(value) not in (int, float) or not 0 <= value <= _MAX_SECONDS:
        raise ParameterError("a time is a number of seconds, 0 or more")
    return round(float(value), 3)
