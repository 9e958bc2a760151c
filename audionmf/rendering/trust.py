"""How far to trust each stem, told without the true stems.

Three things show it. How much of the mixture's energy a stem has. How much it *overlaps* with the
others: what lies in a bin that a source has to itself is not cut up, what it shares is a guess. And
how well the models *explain* the mixture, second by second. None of them shows whether a sound went
to the wrong stem: two sources that are swapped overlap no more than before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.sources.known import OTHER, REST

_OVERLAP_WORDS = (
    (0.1, "hardly any of its sound is shared with others"),
    (0.25, "some of its sound is shared with others"),
    (1.0, "much of its sound is shared with others; listen closely"),
)

_LEFT_OVER = frozenset({REST, OTHER})
"""Sources of free components: these fit anything, so that little overlap is no sign of a clean stem."""

UNSEEN = "whether a sound is in the wrong stem, these figures cannot show: listen"
"""What no figure here measures."""

_NEARLY_ALL, _NEARLY_NOTHING = 0.97, 0.003
"""Shares of the energy from which a stem is hardly a source of its own."""

_SHOWN = 4
_HEARD = 0.1
"""Loudness of a second against the loudest from which it is told as the least explained one."""

__all__ = ["UNSEEN", "BlockTrust", "Trust", "TrustMeter", "block_trust", "overlap_words"]


def overlap_words(overlap: float) -> str:
    """Say in words what an overlap of 0 to 1 means."""
    return next(words for limit, words in _OVERLAP_WORDS if overlap <= limit)


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
    """

    energy_share: dict[str, float]
    overlap: dict[str, float]
    explained: NDArray[np.float64]
    loudness: NDArray[np.float64] | None = None
    one_known: bool | None = None

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
        if self._knows_one():
            return "nothing else is known, so each stem may hold some of the other; listen to both"
        return overlap_words(self.overlap[name])

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
    passed, squared : ndarray, shape (n_sources,)
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
    V: NDArray[np.float32], models: NDArray[np.float32], masks: NDArray[np.float32]
) -> BlockTrust:
    """Sum up one block.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_frames)
        Magnitudes of the mixture.
    models, masks : ndarray, shape (n_sources, n_bins, n_frames)
        Models of the sources, and their masks.

    Returns
    -------
    BlockTrust
        The sums, in units of the block's loudest bin.
    """
    exponent = -np.floor(np.log2(float(V.max()))) if V.any() else 0.0
    level = np.float32(2.0 ** np.clip(exponent, -120, 120))
    data = V * level
    power = data * data
    passed = np.einsum("jft,ft->j", masks, power, dtype=np.float64)
    squared = np.einsum("jft,jft,ft->j", masks, masks, power, dtype=np.float64)
    model = np.maximum(models.sum(axis=0) * level, np.float32(1e-12))
    ratio = np.maximum(data, np.float32(1e-20)) / model
    elements = data * np.log(ratio) - data + model
    divergence: NDArray[np.float64] = elements.sum(axis=0, dtype=np.float64)
    back = 1 / float(level)
    return BlockTrust(
        passed * back**2,
        squared * back**2,
        float(power.sum(dtype=np.float64)) * back**2,
        divergence * back,
        data.sum(axis=0, dtype=np.float64) * back,
    )


class TrustMeter:
    """Adds up blocks in their order.

    Parameters
    ----------
    names : list of str
        The sources.
    frames_per_second : float
        Frames in a second, to tell the seconds apart.
    """

    def __init__(self, names: list[str], frames_per_second: float) -> None:
        self._names, self._rate = names, frames_per_second
        self._passed = np.zeros(len(names))
        self._squared = np.zeros(len(names))
        self._power = 0.0
        self._n_frames = 0
        self._divergence = np.empty(0)  # a value for each second, not for each frame
        self._magnitude = np.empty(0)

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
        )

    def _explained(self) -> NDArray[np.float64]:
        lost, total = self._divergence, self._magnitude
        shares = np.divide(lost, total, out=np.full(len(total), np.nan), where=total > 0)
        explained: NDArray[np.float64] = np.maximum(0, 1 - shares)
        return explained
