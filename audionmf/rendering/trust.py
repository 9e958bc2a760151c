"""How far to trust each stem, told without the true stems.

Four things show it. How much of the mixture's energy a stem has. How much it *overlaps* with the
others: what lies in a bin that a source has to itself is not cut up, what it shares is a guess. How
well the models *explain* the mixture, second by second. And, where components of the mixture have
their say, how far different ways to tell whose they are agree (`Voters.evidence`). Overlap and this
tell how likely a stem is to be wrong. Much stays unseen: two sources that are swapped as a whole
overlap no more than before, and still sound each like itself.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.rendering.decomposition import Decomposition
from audionmf.sources.known import OTHER, REST
from audionmf.spectra.fused import FramePass, logarithm, maximum
from audionmf.spectra.masks import shares

_OVERLAP_WORDS = (
    (0.1, "hardly any of its sound is shared with others"),
    (0.25, "some of its sound is shared with others"),
    (1.0, "much of its sound is shared with others; listen closely"),
)

_LEFT_OVER = frozenset({REST, OTHER})
"""Sources of free components: these fit anything, so that little overlap is no sign of a clean stem."""

UNSEEN = "not every sound that is in the wrong stem shows in these figures: listen"
"""What no figure here measures."""

_DOUBTFUL = 0.5
"""How likely it is that a stem is wrong from which on it is said."""

_LEAST_ALONE, _LEAST_CONFIRMED = 0.001, 0.01
_Doubt = tuple[float, tuple[float, ...], tuple[float, ...]]
_DOUBTS: dict[str, _Doubt] = {
    "examples": (0.47, (-0.509, -0.551, 0.476), (1.99, 1.32, 1.23)),
    "blind": (1.014, (-0.821,), (2.06,)),
}
"""By examples, and blind: log odds that the SI-SDR of a stem is below 3 dB where `doubt_numbers` are 0,
what each of them adds, and what they are in the mean (`scripts/train_doubt.py`)."""

_NEARLY_ALL, _NEARLY_NOTHING = 0.97, 0.003
"""Shares of the energy from which a stem is hardly a source of its own."""

_SHOWN = 4
_HEARD = 0.1
"""Loudness of a second against the loudest from which it is told as the least explained one."""

__all__ = [
    "UNSEEN",
    "BlockTrust",
    "Trust",
    "TrustMeter",
    "block_trust",
    "doubt_numbers",
    "overlap_words",
]


def overlap_words(overlap: float) -> str:
    """Say in words what an overlap of 0 to 1 means."""
    return next(words for limit, words in _OVERLAP_WORDS if overlap <= limit)


def doubt_numbers(overlap: float, evidence: Sequence[float]) -> list[float]:
    """Return what `Trust.doubt` goes by.

    Parameters
    ----------
    overlap : float
        How much of a stem is shared with others, 0 to 1.
    evidence : sequence of float
        As in `Trust`.

    Returns
    -------
    list of float
        The logits of what it has alone and, by examples, of what is confirmed; how far masks move.
    """
    alone = _logit(1 - overlap, _LEAST_ALONE)
    if not evidence:
        return [alone]
    confirmed, moved = evidence
    return [alone, _logit(confirmed, _LEAST_CONFIRMED), moved]


def _logit(share: float, least: float) -> float:
    inside = min(max(share, least), 1 - least)
    return math.log(inside / (1 - inside))


@dataclass(frozen=True, eq=False)
class Trust:
    """Figures about the stems of one separation.

    Parameters
    ----------
    energy_share : dict of str to float
        Share of the mixture's energy that each source's mask lets through, 0 to 1.
    overlap : dict of str to float
        1 - Σ m² P / Σ m P with the masks m and the mixture's power P: the share of a stem's energy
        that it holds in common with others, 0 (alone in its bins) to 1.
    explained : ndarray, shape (n_seconds,), float64
        1 - D / Σ V in each second, with the divergence D of the models from the magnitudes V: 1
        where the models explain all, 0 where they explain nothing. NaN where it is silent.
    loudness : ndarray, shape (n_seconds,), float64, optional
        Σ V in each second, as a share of all seconds: what each of them counts for. Default: all
        seconds count the same.
    one_known : bool, optional
        Whether one source is known and the other is whatever is left. Default: where there are two
        and one of them is called so.
    evidence : dict of str to tuple of float, optional
        By example, how far different ways to tell whose components are agree, as `Voters.evidence`
        has it of each stem; blind, where overlap tells as much, nothing of each. Default: not known
        how likely any of them is to be wrong.
    """

    energy_share: dict[str, float]
    overlap: dict[str, float]
    explained: NDArray[np.float64]
    loudness: NDArray[np.float64] | None = None
    one_known: bool | None = None
    evidence: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def __repr__(self) -> str:
        names = list(self.energy_share)
        shares = ", ".join(f"{name!r} {self.energy_share[name]:.0%}" for name in names[:_SHOWN])
        more = f", {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return f"<Trust: energy {shares}{more}>"

    def words(self, name: str) -> str:
        """Say in words how far a stem is to be trusted; a stem that is hardly a source is named so."""
        share = self.energy_share[name]
        if share >= _NEARLY_ALL:
            return "this is nearly the whole mixture: nothing much was taken out of it"
        if share <= _NEARLY_NOTHING:
            return "this is nearly nothing: it was hardly found in the mixture"
        if name in _LEFT_OVER:
            return "what no other stem claims, whatever it is"
        if (self.doubt(name) or 0) >= _DOUBTFUL:
            return f"this may well be wrong: {self._why(name)}; listen before you use it"
        if self._knows_one():
            return "nothing else is known, so each stem may hold some of the other; listen to both"
        return overlap_words(self.overlap[name])

    def doubt(self, name: str) -> float | None:
        """Return how likely it is that the SI-SDR of a stem is below 3 dB, 0 to 1.

        Logistic regression on how much of it is shared with others, and on the evidence.

        Parameters
        ----------
        name : str
            The source.

        Returns
        -------
        float or None
            None where nothing is known of it, or the stem is what others leave.
        """
        if name in _LEFT_OVER or name not in self.evidence:
            return None
        numbers, (level, weights, _) = self._numbers(name)
        odds = level + sum(weight * x for weight, x in zip(weights, numbers, strict=True))
        return 1 / (1 + math.exp(-odds))

    def _numbers(self, name: str) -> tuple[list[float], _Doubt]:
        evidence = self.evidence[name]
        numbers = doubt_numbers(self.overlap[name], evidence)
        return numbers, _DOUBTS["examples" if evidence else "blind"]

    def _why(self, name: str) -> str:
        """Say what speaks most against a stem."""
        numbers, (_, weights, usual) = self._numbers(name)
        against = [w * (x - x0) for w, x, x0 in zip(weights, numbers, usual, strict=True)]
        most = against.index(max(against))
        if most == 0:
            return f"{self.overlap[name]:.0%} of its sound is shared with others"
        if most == 1:
            return f"by its sound alone only {self.evidence[name][0]:.0%} of it would go here"
        return "two ways to tell what belongs here disagree"

    def _knows_one(self) -> bool:
        if self.one_known is not None:
            return self.one_known
        return len(self.energy_share) == 2 and bool(_LEFT_OVER & self.energy_share.keys())

    def against_rest(self, name: str) -> Trust:
        """Return the figures of one source and of all the others together, called ``rest``.

        What the rest shares, it shares with this source alone: with masks m and 1 - m, both stems
        hold the same energy Σ m (1 - m) P in common.
        """
        share, overlap = self.energy_share[name], self.overlap[name]
        others = max(0.0, sum(self.energy_share.values()) - share)
        common = share * overlap / others if others > 0 else 0.0
        return replace(
            self,
            energy_share={name: share, REST: others},
            overlap={name: overlap, REST: min(1.0, common)},
            evidence={one: both for one, both in self.evidence.items() if one == name},
            one_known=self._knows_one(),
        )

    def summary(self) -> tuple[float, int, float] | None:
        """Return how much of the mixture is explained, and where the least is: a second, its share.

        Each second counts as much as it is loud, and soft ones, 20 dB below the loudest, are not
        the least explained. None for silence.
        """
        weights = np.ones(len(self.explained)) if self.loudness is None else self.loudness
        weights = np.where(np.isnan(self.explained), 0, weights)
        if not weights.any():
            return None
        values = np.nan_to_num(self.explained)
        heard = weights >= _HEARD * weights.max()
        worst = int(np.argmin(np.where(heard, values, np.inf)))
        return float(np.average(values, weights=weights)), worst, float(values[worst])

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values that go into JSON; NaN becomes None."""
        return {
            "energy_share": self.energy_share,
            "overlap": self.overlap,
            "doubt": {name: self.doubt(name) for name in self.energy_share},
            "explained": [None if np.isnan(x) else float(x) for x in self.explained],
        }

    def to_text(self) -> str:
        """Return the figures as lines of plain words."""
        lines = []
        for name, share in self.energy_share.items():
            overlap, words = self.overlap[name], self.words(name)
            lines.append(f"  {name!r}: {share:.0%} of the energy, {overlap:.0%} overlap: {words}")
        if (summary := self.summary()) is not None:
            whole, worst, least = summary
            lines.append(
                f"  the models explain {whole:.0%} of the mixture; least at {worst} s ({least:.0%})"
            )
        if len(self.energy_share) > 1:
            lines.append(f"  {UNSEEN}")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class BlockTrust:
    """Sums over one block of frames.

    Parameters
    ----------
    passed, squared : ndarray, shape (n_stems,)
        Σ m P and Σ m² P.
    power : float
        Σ P.
    divergence, magnitude : ndarray, shape (n_frames,)
        D and Σ V of each frame.
    """

    passed: NDArray[np.float64]
    squared: NDArray[np.float64]
    power: float
    divergence: NDArray[np.float64]
    magnitude: NDArray[np.float64]


def block_trust(
    V: NDArray[np.float32], models: NDArray[np.float32], masks: NDArray[np.float32] | float
) -> BlockTrust:
    """Sum up one block.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_frames), float32
        Magnitudes of the mixture.
    models : ndarray, shape (n_sources, n_bins, n_frames), float32
        Models of the sources.
    masks : ndarray, shape (n_stems, n_bins, n_frames), or {1, 1.5, 2}
        The masks of the stems, of which there may be one more than models, or the exponent with which
        `ratio_masks` makes one of each model, in less time.

    Returns
    -------
    BlockTrust
        The sums, in units of the block's loudest bin.
    """
    n_sources, n_bins, n_frames = models.shape
    peak = float(V.max(initial=0))
    exponent = -np.floor(np.log2(peak)) if peak > 0 else 0.0
    level = np.float32(2.0 ** np.clip(exponent, -120, 120))
    given, made = [V.T, np.full(n_bins, level), *models.swapaxes(1, 2)], None
    if isinstance(masks, np.ndarray):
        given += [*masks.swapaxes(1, 2)]
    else:
        made = float(masks)
    n_stems = n_sources if made else len(given) - 2 - n_sources
    sums = np.zeros((2 * n_stems + 3, n_frames))
    _sums_pass(n_sources, n_stems, made)(given, [*sums])
    *shared, power, divergence, magnitude = sums
    passed, squared = np.sum(shared, axis=1).reshape(2, n_stems)
    back = 1 / float(level)
    return BlockTrust(
        passed * back**2,
        squared * back**2,
        float(power.sum()) * back**2,
        divergence * back,
        magnitude * back,
    )


@functools.lru_cache(maxsize=64)
def _sums_pass(n_sources: int, n_stems: int, exponent: float | None) -> FramePass:
    """Return what sums the numbers of `BlockTrust` over the bins of each frame."""

    def sums(V: Any, level: Any, *given: Any) -> list[Any]:
        models, masks = given[:n_sources], given[n_sources:]
        if exponent is not None:
            masks = tuple(shares(models, exponent))
        data = V * level
        power = data * data
        passed = [mask * power for mask in masks]
        squared = [mask * share for mask, share in zip(masks, passed, strict=True)]
        model = maximum(sum(models[1:], models[0]) * level, 1e-12)
        ratio = maximum(data, 1e-20) / model
        return [*passed, *squared, power, data * logarithm(ratio) - data + model, data]

    n_masks = n_stems * (exponent is None)
    return FramePass(sums, "fr" + "f" * (n_sources + n_masks), "t" * (2 * n_stems + 3))


class TrustMeter:
    """Adds up blocks in their order.

    Parameters
    ----------
    names : list of str
        The sources.
    frames_per_second : float
        Frames in a second, to tell the seconds apart.
    evidence : mapping of str to tuple of float, optional
        As in `Trust`.
    """

    def __init__(
        self,
        names: list[str],
        frames_per_second: float,
        evidence: Mapping[str, tuple[float, ...]] | None = None,
    ) -> None:
        self._names, self._rate = names, frames_per_second
        self._evidence = dict(evidence or {})
        self._passed = np.zeros(len(names))
        self._squared = np.zeros(len(names))
        self._power = 0.0
        self._n_frames = 0
        self._divergence = np.empty(0)  # a value for each second, not for each frame
        self._magnitude = np.empty(0)

    @classmethod
    def of(cls, found: Decomposition) -> TrustMeter:
        """Return one for the stems of a decomposition."""
        stft, rate = found.templates.stft, found.templates.sample_rate
        known: dict[str, tuple[float, ...]] = {}
        if found.voters is not None and found.voters.evidence is not None:
            both = found.voters.evidence.T.tolist()
            known = {name: tuple(own) for name, own in zip(found.grouping, both, strict=True)}
        elif found.shares is not None:
            known = dict.fromkeys(found.grouping, ())
        return cls(found.source_names, rate / stft.hop_length, known)

    def add(self, block: BlockTrust) -> None:
        """Add the next block."""
        self._passed += block.passed
        self._squared += block.squared
        self._power += block.power
        frames = self._n_frames + np.arange(len(block.divergence))
        second = (frames / self._rate).astype(int)
        more = max(0, second.max(initial=-1) + 1 - len(self._divergence))
        self._divergence = np.append(self._divergence, np.zeros(more))
        self._magnitude = np.append(self._magnitude, np.zeros(more))
        np.add.at(self._divergence, second, block.divergence)
        np.add.at(self._magnitude, second, block.magnitude)
        self._n_frames += len(frames)

    def result(self) -> Trust:
        """Return the figures of all blocks."""
        share = self._passed / self._power if self._power > 0 else np.zeros(len(self._names))
        alone = np.divide(
            self._squared, self._passed, out=np.ones_like(self._passed), where=self._passed > 0
        )
        return Trust(
            dict(zip(self._names, share.tolist(), strict=True)),
            dict(zip(self._names, (1 - alone).tolist(), strict=True)),
            self._explained(),
            self._magnitude / max(self._magnitude.sum(), np.finfo(np.float64).tiny),
            evidence=self._evidence,
        )

    def _explained(self) -> NDArray[np.float64]:
        lost, total = self._divergence, self._magnitude
        shares = np.divide(lost, total, out=np.full(len(total), np.nan), where=total > 0)
        explained: NDArray[np.float64] = np.maximum(0, 1 - shares)
        return explained
