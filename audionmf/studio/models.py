"""Decompositions of recordings into parts, and how each was asked for."""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import ParameterError
from audionmf.rendering.blocks import render_span
from audionmf.rendering.decomposition import Decomposition
from audionmf.sources.known import REST
from audionmf.studio.loudness import products
from audionmf.studio.recordings import Recording, sixteen_bits
from audionmf.studio.stems import Stems
from audionmf.studio.views import Rows, components, whole_sources
from audionmf.studio.ways import Way

__all__ = ["Model"]

_CALM_SECONDS = 0.15


@dataclass(eq=False)
class Model:
    """What a recording was taken apart into: parts, whose stems sum to it.

    Parameters
    ----------
    recording : Recording
        What it was made from.
    parts : Decomposition
        One group a part: a component each, or with `stems` a whole source each.
    way : Way
        How it was asked for.
    stems : Stems, optional
        Where the parts are whole sources: these.
    id : str
        Random.
    """

    recording: Recording
    parts: Decomposition
    way: Way
    stems: Stems | None = None
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    _quiet: threading.Condition = field(default_factory=threading.Condition, repr=False)
    _whole: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _n_asked: int = 0
    _answered: float = -math.inf

    @property
    def names(self) -> list[str]:
        """What the parts are called."""
        return list(self.stems.names) if self.stems else list(self.parts.grouping)

    def members(self, groups: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
        """Return the parts of every stem that there is with sources of these parts.

        What is in no source is ``rest``. Without sources each part is one, and a stem whose name
        was left as it was found is in the place where it was found.
        """
        filled = {name: tuple(parts) for name, parts in groups.items() if parts}
        if not filled:
            return {name: (k,) for k, name in enumerate(self.names)}
        owned = {k for parts in filled.values() for k in parts}
        others = tuple(k for k in range(len(self.names)) if k not in owned)
        return filled | ({REST: others} if others else {})

    @property
    def n_bytes(self) -> int:
        """Bytes of its arrays in memory."""
        parts = (getattr(self.parts, item.name) for item in fields(self.parts))
        held = (self.parts.templates.templates, *parts, *self._outlines)
        arrays = {id(array): array.nbytes for array in held if isinstance(array, np.ndarray)}
        return sum(arrays.values())

    @cached_property
    def described(self) -> list[dict[str, Any]]:
        """The parts in words and figures."""
        if self.stems is None:
            return components(self.parts, self._rows)
        return whole_sources(*self._outlines, self.names, self.stems.told(), self._rows)

    @cached_property
    def _outlines(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What is drawn of the parts: their spectra, and their courses in time."""
        if self.stems is not None:
            return self.stems.outlines()
        H = self.parts.activations
        W = self.parts.templates.templates
        return W, np.zeros((W.shape[1], 0), np.float32) if H is None else H

    @property
    def templates(self) -> bytes:
        """Spectra of the parts as the page draws them, (n_parts, N_ROWS) float32."""
        drawn = self._rows.draw(self._outlines[0])
        return np.ascontiguousarray(drawn.T, "<f4").tobytes()

    @property
    def activations(self) -> bytes:
        """Courses of the parts, (n_parts, n_frames) float32."""
        return np.ascontiguousarray(self._outlines[1], "<f4").tobytes()

    @property
    def _rows(self) -> Rows:
        return Rows(self.parts.templates.stft, self.recording.sample_rate)

    @cached_property
    def levels(self) -> bytes:
        """Products of all pairs of parts, from which a page knows how loud sums are, float32."""
        recording = self.recording
        n_blocks = -(-recording.n_samples // recording.block)
        n_channels = min(2, recording.n_channels)
        rate = recording.sample_rate
        found = products(self._spare, len(self.names), n_channels, n_blocks, rate)
        return np.ascontiguousarray(found, "<f4").tobytes()

    def sound(self, index: int, only: Sequence[int] | None = None) -> tuple[bytes, float] | None:
        """Return a block of parts as 16-bit samples, and what full scale stands for.

        They lie part by part, channel by channel; of more than two channels the even and the odd
        ones are joined. None where there is no such block.

        Parameters
        ----------
        index : int
            Which block.
        only : sequence of int, optional
            Which parts: a few are there at once. Default: all.

        Raises
        ------
        ParameterError
            If there is no such part.
        """
        if only is not None and not all(0 <= k < len(self.names) for k in only):
            raise ParameterError(f"parts are numbered from 0 to {len(self.names) - 1} here")
        with self._quiet:
            self._n_asked += 1
        try:
            if only is not None:
                return self._block(index, only)
            with self._whole:  # or those who wait for a few parts wait for all of them
                return self._block(index)
        finally:
            with self._quiet:
                self._n_asked -= 1
                self._answered = time.monotonic()
                self._quiet.notify_all()

    def _spare(self, index: int) -> tuple[bytes, float] | None:
        """Return a block as `sound` does, when nobody waits to hear one, nor did just now.

        An answer is on its way still when it has left: a page that shares the processor with us
        would play it later by what is computed meanwhile.
        """
        with self._quiet:
            while self._n_asked or (rest := self._answered + _CALM_SECONDS - time.monotonic()) > 0:
                self._quiet.wait(None if self._n_asked else rest)
        with self._whole:
            return self._block(index)

    def _block(self, index: int, only: Sequence[int] | None = None) -> tuple[bytes, float] | None:
        recording, block = self.recording, self.recording.block
        if self.stems is not None:
            found = self.stems.block(index)
            return None if found is None else sixteen_bits(found if only is None else found[only])
        start = index * block
        if not 0 <= start < recording.n_samples:
            return None
        end = min(start + block, recording.n_samples)
        return sixteen_bits(render_span(recording.audio, self.parts, start, end, only))

    def told(self) -> dict[str, Any]:
        """Return what a page needs to know."""
        return {
            "id": self.id,
            "recording": self.recording.id,
            "components": self.described,
            "frames": self._outlines[1].shape[1],
            "block": self.recording.block,
            "channels": min(2, self.recording.n_channels),
            "divergence": self.parts.divergence.tolist(),
            "named": self.way.named,
            "refined": self.way.by_hand,
            "stems": self.stems is not None,
            "way": self.way.told(),
            "remarks": list(self.parts.remarks),
        }
