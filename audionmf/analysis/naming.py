"""Names for sources that were found blind: a word for what each sounds like, from low to high.

What is heard of a source is read off its share of the mixture where it is loudest: in which range its
energy lies, whether it holds a pitch or is noise, whether it is struck and rings or goes on. Struck
noises are drums, told by their range; the others are named by their register and by how they sound.
Two sources of one name are numbered, the lower one first.

The limits were chosen by looking at the true stems of 29 recordings, rendered and real.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.io.audio import Source
from audionmf.io.parts import excerpt
from audionmf.nmf.solver import thread_count
from audionmf.rendering.decomposition import Decomposition
from audionmf.settings import CPU
from audionmf.spectra.bands import Bands
from audionmf.spectra.frames import BLOCK_FRAMES, Frames, gather
from audionmf.spectra.fused import FramePass, maximum, minimum
from audionmf.spectra.harmonic import tonal_share
from audionmf.spectra.in_order import in_order
from audionmf.spectra.masks import ratio_masks
from audionmf.spectra.stft import STFT
from audionmf.spectra.timbre import key_name

__all__ = ["HeardSource", "hear_source", "named", "renamed"]

Matrix = NDArray[np.floating[Any]]
Vector = NDArray[np.float64]

_LEAST_SECONDS = 2.5
"""Of less there is too little to tell what is struck from what goes on."""
_PIECE_SECONDS, _PIECES = 12.0, 4
_LOW_HZ = 20.0
_TONAL, _STEADY_TONAL = 0.45, 0.56
_RINGS, _STRUCK_NOISE = 0.35, 0.12
_KICK_HZ, _KICK_TOP_HZ = 150.0, 400.0
_HAT_HZ, _HAT_FROM_HZ = 4000.0, 300.0
_KIT_FROM_HZ, _KIT_TO_HZ = 130.0, 2500.0
_TOM_TOP_HZ = 2000.0
_CYMBAL_HZ, _CYMBAL = 2500.0, 0.2
_BASS_HZ, _BASS_TOP_HZ = 160.0, 330.0
_MIDDLE_HZ, _HIGH_HZ = 250.0, 800.0
_BRIGHT_HZ = 2500.0
_SIDE = 0.25
_LEVELS = (1e-6, 1e6)
"""Peaks between which no square leaves the range of the type, and nothing has to be scaled."""
_SILENT = "silent"


@dataclass(frozen=True)
class HeardSource:
    """What is heard of a source.

    Parameters
    ----------
    low, middle, high : float
        Frequencies in Hz below which 5, 50 and 95 % of its energy lie; 0 for silence.
    height : float
        Mean of the logarithm of the frequency, weighted with the energy, in octaves.
    tonal : float
        Share of it that holds a pitch, 0 to 1; see `audionmf.spectra.harmonic.tonal_share`.
    rise : float
        Logarithm of how steeply it rises against how steeply it falls: near 0 for what goes on,
        more for what is struck or plucked, and rings.
    """

    low: float
    middle: float
    high: float
    height: float
    tonal: float
    rise: float

    @property
    def rings(self) -> bool:
        """Whether it dies away as what is struck or plucked does, instead of going on."""
        return self.rise >= _RINGS

    @property
    def word(self) -> str:
        """Its name, before names that come twice are numbered."""
        if not self.high > 0:
            return _SILENT
        begins = self.rise >= _STRUCK_NOISE
        if self.tonal < (_TONAL if begins else _STEADY_TONAL):  # steady noise comes to a half
            return self._drum() if begins else f"{self._register()} noise"
        if self.middle >= _CYMBAL_HZ and self.rise >= _CYMBAL:
            return "hi-hat" if self.middle >= _HAT_HZ else "cymbal"
        if self.middle <= _BASS_HZ and self.high <= _BASS_TOP_HZ:
            return "bass"
        return f"{self._register()} {'struck' if self.rings else 'sustained'}"

    def _register(self) -> str:
        if self.middle >= _BRIGHT_HZ:
            return "bright"
        return "low" if self.middle < _MIDDLE_HZ else "middle" if self.middle < _HIGH_HZ else "high"

    def _drum(self) -> str:
        if self.middle <= _KICK_HZ and self.high <= _KICK_TOP_HZ:
            return "kick"
        if self.middle >= _HAT_HZ and self.low >= _HAT_FROM_HZ:
            return "hi-hat"
        if self.high <= _TOM_TOP_HZ:
            return "tom"
        wide = self.low <= _KIT_FROM_HZ and self.high >= _KIT_TO_HZ
        return "drums" if wide else "snare"


def hear_source(S: Matrix, stft: STFT, sample_rate: int) -> HeardSource:
    """Return what is heard of a source.

    Parameters
    ----------
    S : ndarray, shape (n_bins, n_frames)
        Magnitudes, ≥ 0, of neighbouring frames.
    stft : STFT
        The transform.
    sample_rate : int
        In Hz.

    Returns
    -------
    HeardSource
        The same for any scale of S.
    """
    top = S.max(initial=0)
    if not top > 0:
        return HeardSource(0.0, 0.0, 0.0, np.inf, 0.0, 0.0)
    if not _LEVELS[0] < top < _LEVELS[1]:
        S = S / top
    S = S.astype(np.float32, copy=False)
    frequencies = stft.frequencies(sample_rate)
    energy = np.zeros(len(S))
    _energy_pass()([S.T], [energy])
    below = energy.cumsum() / energy.sum()
    low, middle, high = (float(frequencies[np.searchsorted(below, q)]) for q in (0.05, 0.5, 0.95))
    height = float(np.log2(frequencies + _LOW_HZ) @ energy / energy.sum())
    tonal = tonal_share(stft.on_line(S), sample_rate / stft.hop_length, sample_rate / stft.n_fft)
    bands = Bands.of(stft, sample_rate)
    steps = np.zeros((2, len(bands.edges)))
    for first in range(0, S.shape[1] - 1, BLOCK_FRAMES):  # what is held of all would be most memory
        pooled = bands.pool(S[:, first : first + BLOCK_FRAMES + 1]).T
        _steps_pass()([pooled[:-1], pooled[1:]], [*steps])
    up, down = steps.sum(axis=1)
    rise = float(np.log(up / down)) if up > 0 and down > 0 else 0.0
    return HeardSource(low, middle, max(high, float(frequencies[1])), height, tonal, rise)


@functools.cache
def _energy_pass() -> FramePass:
    return FramePass(lambda magnitude: [magnitude * magnitude], "f", "s")


@functools.cache
def _steps_pass() -> FramePass:
    """Return what gives the squares of all steps up, and down, from one frame to the next."""

    def squares(before: Any, after: Any) -> list[Any]:
        step = after - before
        both = maximum(step, 0.0), minimum(step, 0.0)
        return [each * each for each in both]

    return FramePass(squares, "ff", "ss")


def named(
    found: Decomposition,
    source: Source,
    frames: Frames,
    activations: NDArray[np.float32],
    *,
    keys: Vector | None = None,
    sides: Vector | None = None,
) -> Decomposition:
    """Name the sources of a blind analysis, and put them in order from low to high.

    Parameters
    ----------
    found : Decomposition
        Its sources have any names.
    source : Audio or AudioFile
        The mixture.
    frames : Frames
        What was analysed of it.
    activations : ndarray, shape (n_components, n_frames)
        H of these frames.
    keys : ndarray, shape (n_components,), optional
        Pitches of the components in semitones, NaN for those that have none.
    sides : ndarray, shape (n_components,), optional
        Where each component stands in a stereo image: -1 is left, 1 is right.

    Returns
    -------
    Decomposition
        The same with other names, in another order, and with a remark for each source that says
        where it is heard. A recording of less than 2.5 s tells too little: its names stay.
    """
    too_short = found.mixture.n_samples < _LEAST_SECONDS * source.sample_rate
    if found.settings.names == "plain" or too_short:
        return found
    stft, rate = found.templates.stft, found.templates.sample_rate
    loudness = _loudness(found, activations)
    every = _pieces(found, source, frames, activations, loudness)
    threads = thread_count(found.settings.n_threads)
    each = in_order(lambda S: hear_source(S, stft, rate), every, threads)
    heard = dict(zip(found.grouping, each, strict=True))
    order = sorted(heard, key=lambda name: heard[name].height)
    fresh = _numbered([heard[name].word for name in order])
    weights = found.templates.templates.sum(axis=0) * activations.sum(axis=1, dtype=np.float64)
    remarks = []
    for name, new in zip(order, fresh, strict=True):
        group = list(found.grouping[name])
        played = _range(None if keys is None else keys[group], weights[group])
        side = "" if sides is None else _side(sides[group], weights[group])
        remarks.append(_told(new, heard[name], played, side))
    made = renamed(found, dict(zip(order, fresh, strict=True)))
    return dataclasses.replace(made, remarks=(*made.remarks, *remarks))


def renamed(found: Decomposition, names: Mapping[str, str]) -> Decomposition:
    """Return a decomposition whose sources have other names, in the order of the mapping.

    Parameters
    ----------
    found : Decomposition
        Without ranges of absence and without a residual.
    names : mapping of str to str
        The new name of each source.
    """
    before = list(found.grouping)
    order = [before.index(name) for name in names]
    labels = tuple(names.get(label, label) for label in found.templates.labels)
    return dataclasses.replace(
        found,
        templates=dataclasses.replace(found.templates, labels=labels),
        grouping={new: found.grouping[old] for old, new in names.items()},
        covariances=None if found.covariances is None else found.covariances[order],
        voters=None if found.voters is None else found.voters.ordered(order),
        shares=None if found.shares is None else found.shares[order],
    )


def _loudness(found: Decomposition, H: NDArray[np.float32]) -> Vector:
    """Return how loud the model of each source is, shape (n_sources, n_frames)."""
    sums = found.templates.templates.sum(axis=0, dtype=np.float64)
    return np.stack([sums[list(group)] @ H[list(group)] for group in found.grouping.values()])


def _pieces(
    found: Decomposition,
    source: Source,
    frames: Frames,
    H: NDArray[np.float32],
    loudness: Vector,
) -> Iterator[Matrix]:
    """Yield the magnitudes of each source where it is loudest, shape (n_bins, n_frames)."""
    stft, rate = found.templates.stft, found.templates.sample_rate
    length = max(1, round(_PIECE_SECONDS * rate / stft.hop_length / frames.step))
    exponent = found.settings.mask_exponent

    def near(first: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return neighbouring frames and the activations there, where they are not patterns."""
        if frames.step == 1:
            return frames.V[:, first : first + length], H[:, first : first + length]
        begin = first * frames.step
        part = gather(
            excerpt(source, begin * stft.hop_length / rate, _PIECE_SECONDS), stft, warn=False
        ).V
        if found.activations is None:
            return part, found.activate(part, 1)
        known = found.activations[:, begin : begin + part.shape[1]]
        return part[:, : known.shape[1]], known

    chosen = [_loudest(loud, length) for loud in loudness]
    # Pieces of a source lie one after the other from the start, and need not be put together.
    usual = length if frames.step == 1 else stft.n_frames(round(_PIECE_SECONDS * rate))
    rooms = {
        j: np.empty((len(mine) * usual, len(frames.V)), np.float32) for j, mine in enumerate(chosen)
    }

    def room(j: int, first: int, n_frames: int) -> NDArray[np.float32]:
        """Return where what a source has of a piece goes, (n_bins, n_frames)."""
        if n_frames > usual:
            return np.empty((n_frames, len(frames.V)), np.float32).T
        return rooms[j][chosen[j].index(first) * usual :][:n_frames].T

    def joined(j: int, parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return all pieces of a source; its room is let go with them."""
        lengths, whole = [part.shape[1] for part in parts], rooms.pop(j)
        if max(lengths) > usual or {*lengths[:-1]} - {usual}:
            return np.concatenate(parts, axis=1)
        return whole[: sum(lengths)].T

    def piece(first: int) -> dict[int, NDArray[np.float32]]:
        """Return what sources have of a piece, those of which it is among the loudest."""
        V, G = near(first)
        own = {j: room(j, first, V.shape[1]) for j, mine in enumerate(chosen) if first in mine}
        for begin in range(0, V.shape[1], BLOCK_FRAMES):  # models of all sources are large
            block = slice(begin, begin + BLOCK_FRAMES)
            if found.patterns is not None and frames.step == 1:
                models = found.source_models(first + begin, V[:, block])
            else:
                models = found.models(G[:, block])
            masks = ratio_masks(models, exponent)
            for j, part in own.items():
                np.multiply(V[:, block], masks[j], out=part[:, block])
        return own

    # In the order in which sources ask for them; of no other source: they would fill the memory.
    wanted = list(dict.fromkeys(first for mine in chosen for first in mine))
    threads = thread_count(found.settings.n_threads) if found.settings.device == CPU else 1
    shown: dict[int, dict[int, NDArray[np.float32]]] = {}
    with contextlib.closing(in_order(piece, wanted, threads)) as pieces:
        for j, mine in enumerate(chosen):
            while any(first not in shown for first in mine):
                shown[wanted[len(shown)]] = next(pieces)
            yield joined(j, [shown[first].pop(j) for first in mine])


def _loudest(loudness: Vector, length: int) -> list[int]:
    """Return where the loudest pieces of a source begin, at most `_PIECES`, in the order of time."""
    starts = np.arange(0, len(loudness), length)
    sums = np.add.reduceat(loudness, starts)
    return sorted(int(starts[k]) for k in np.argsort(-sums, kind="stable")[:_PIECES])


def _numbered(words: Sequence[str]) -> list[str]:
    """Return words of which none comes twice."""
    seen: dict[str, int] = {}
    fresh = []
    for word in words:
        seen[word] = seen.get(word, 0) + 1
        fresh.append(word if seen[word] == 1 else f"{word} {seen[word]}")
    return fresh


def _range(keys: Vector | None, weights: Vector) -> str:
    """Return from which note to which a source plays, by the pitches of its components."""
    if keys is None or not (pitched := ~np.isnan(keys)).any():
        return ""
    if not weights[pitched].sum() > 0.5 * weights.sum():
        return ""
    order = np.argsort(keys[pitched], kind="stable")
    below = weights[pitched][order].cumsum() / weights[pitched].sum()
    ends = [keys[pitched][order][np.searchsorted(below, q)] for q in (0.05, 0.95)]
    low, high = (key_name(round(key)) for key in ends)
    return low if low == high else f"{low}–{high}"


def _side(sides: Vector, weights: Vector) -> str:
    side = float(sides @ weights / weights.sum()) if weights.any() else 0.0
    return "" if abs(side) < _SIDE else "left" if side < 0 else "right"


def _told(name: str, heard: HeardSource, played: str, side: str) -> str:
    if not heard.high > 0:
        return f"{name}: nothing is heard of it"
    inside = f" ({played})" if played else ""
    place = f", on the {side}" if side else ""
    return f"{name}{inside}: mostly {heard.low:.0f} to {heard.high:.0f} Hz{place}"
