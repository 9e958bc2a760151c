"""Whose a component of the mixture alone is: how far it leans to each source.

A small network that was trained on mixtures whose stems are known (`scripts/train_owner.py`) sees
what a component looks like from each source, and what those look like that the masks give to the
source. What it says is the same for sources in any order. Then components that sound alike
(`likeness`) draw each other to their sources, and examples draw those that sound like them: most
beside free components, as these take what the examples hold, too, and masks tell less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.component_examples import like_examples
from audionmf.analysis.component_features import Looks
from audionmf.analysis.likeness import Sound, likeness, mean_field, softmax

__all__ = ["DRAW", "LIMIT", "N_FIT", "Agreed", "Fit", "agreed", "evidence", "leanings", "sound_of"]

LIMIT = 3.0
"""Most that a component leans to a source, in the natural logarithm of masks."""

N_FIT = 5
"""Numbers that tell how well the mixture is explained."""

_FILE = "component_owner.npz"
_SOFT, _LITTLE = 1e-4, 0.02
_SHARPNESS, _STEPS, _LEAST = 1.5, 20, 1e-3
"""How sharply shares tell the owner; steps of the mean field; the least probability of an owner."""
DRAW = 2.0
"""How far others draw where sources have examples; 3 costs voices that always sound together 5 dB."""
_LIKE, _LIKE_EXAMPLE = 6.0, 0.5
"""How far it counts that a component sounds like others of a source, and like its example, where
that alone says whose it is."""
_EXAMPLE, _EXAMPLE_BESIDE_FREE = 0.3, 2.0
"""How far examples draw; 1 costs voices that sound alike 2 dB where all have examples."""


@dataclass(frozen=True)
class Fit:
    """How well the mixture is explained, which tells how far its masks can be trusted.

    Parameters
    ----------
    left : float
        The share of it that the examples leave unexplained.
    left_alone : float
        The share that its own components leave.
    voted : bool
        Whether these vote.
    free : bool, default False
        Whether some source has free components.
    """

    left: float
    left_alone: float
    voted: bool
    free: bool = False

    def features(self) -> NDArray[np.float32]:
        """Return what the network is told of it, shape (5,)."""
        own, alone = (max(share, 0.0) + _LITTLE for share in (self.left, self.left_alone))
        ratio = alone / min(own, 1.0 + _LITTLE)
        return np.array(
            [np.log(own), np.log(alone), np.log(ratio), self.voted, self.free], np.float32
        )


class Agreed(NamedTuple):
    """What `agreed` finds.

    Parameters
    ----------
    leanings : ndarray, shape (n_sources, n_components), float32
        How far each component leans to each source; sums over the sources are 0.
    evidence : ndarray, shape (2, n_sources), float32
        As `evidence` gives it.
    """

    leanings: NDArray[np.float32]
    evidence: NDArray[np.float32]


def leanings(stretches: Sequence[Looks], fit: Fit) -> NDArray[np.float32]:
    """Return how far each component leans to each source.

    Parameters
    ----------
    stretches : sequence of Looks
        Of the same components in parts of the mixture.
    fit : Fit
        How well all of it is explained.

    Returns
    -------
    ndarray, shape (n_sources, n_components), float32
        In the natural logarithm of masks; sums over the sources are 0.
    """
    seen = _joined(stretches)
    net = _network()
    told = np.broadcast_to(fit.features(), (*seen.features.shape[:2], N_FIT))
    x = (np.concatenate([seen.features, told], axis=2) - net["mean"]) / net["spread"]
    hidden = _layer(x, "first")
    shares = seen.shares + _SOFT
    shares = shares / shares.sum(axis=0) * np.sqrt(seen.mass)
    weights = (shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-30))[..., None]
    alike = (hidden * weights).sum(axis=1, keepdims=True, dtype=np.float64)
    everyone = hidden.mean(axis=0, keepdims=True)
    beside = [np.broadcast_to(each, hidden.shape) for each in (everyone, alike)]
    said = _layer(np.concatenate([hidden, *beside], axis=2).astype(np.float32), "second")
    said = said @ net["third_weights"] + net["third_bias"]
    said = LIMIT * np.tanh(said[..., 0] / LIMIT)
    centred: NDArray[np.float32] = (said - said.mean(axis=0)).astype(np.float32)
    return centred


def sound_of(
    stretches: Sequence[Looks], W: NDArray[np.float32], frequencies: NDArray[np.float64]
) -> Sound:
    """Return what is heard of the components of some stretches.

    Parameters
    ----------
    stretches : sequence of Looks
        As for `leanings`.
    W : ndarray, shape (n_bands, n_components)
        Their spectra.
    frequencies : ndarray, shape (n_bands,)
        In Hz, rising.

    Returns
    -------
    Sound
        With their activations in all stretches, and what they are of the mixture there.
    """
    seen = _joined(stretches)
    return Sound(W, seen.activations, frequencies, seen.energy)


def agreed(
    said: NDArray[np.float32],
    stretches: Sequence[Looks],
    sound: Sound,
    examples: Sequence[Sound | None],
    *,
    free: bool = False,
    draw: float = DRAW,
) -> Agreed:
    """Return leanings that components which sound alike share, and what speaks for each source.

    Whose each one is is weighed by whose those are that are of one source with it by the odds of
    `likeness` (`mean_field`). Examples are neighbours whose owner is known.

    Parameters
    ----------
    said : ndarray, shape (n_sources, n_components), float32
        Leanings of each component by itself.
    stretches : sequence of Looks
        As for `leanings`.
    sound : Sound
        What is heard of the components.
    examples : sequence of Sound or None
        What is heard of the example of each source; None where there is none.
    free : bool, default False
        Whether some source has free components, so that examples draw further.
    draw : float, default 2.0
        How far components that sound alike draw each other, ≥ 0.

    Returns
    -------
    Agreed
        Leanings, and the evidence of each source.
    """
    odds = likeness(sound)
    np.fill_diagonal(odds, 0)
    root = np.sqrt(sound.energies)
    weights = root / max(root.sum(), 1e-30)
    shares = _joined(stretches).shares + _SOFT
    by_masks = _SHARPNESS * np.log(shares / shares.sum(axis=0)) + said
    told = like_examples(sound, examples)
    alone = by_masks + (_EXAMPLE_BESIDE_FREE if free else _EXAMPLE) * told
    owner = mean_field(alone, draw * weights[:, None] * odds, _STEPS)
    drawn = np.log(owner + _LEAST) - np.log(softmax(by_masks) + _LEAST)
    drawn -= drawn.mean(axis=0)
    together: NDArray[np.float32] = (said + np.clip(drawn, -LIMIT, LIMIT)).astype(np.float32)
    centred: NDArray[np.float32] = together - together.mean(axis=0)
    return Agreed(centred, evidence(owner, said, odds, told, sound.energies))


def evidence(
    owner: NDArray[np.float64],
    said: NDArray[np.float32],
    odds: NDArray[np.float64],
    told: NDArray[np.float64],
    energies: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return how far different ways to tell whose components are agree on those of each source.

    By sound alone a component is of the source whose components it sounds like, itself left out, and
    whose example it sounds like. Where masks err, they lend a source what sounds like another; and
    what `leanings` sees in the spectrogram says so too.

    Parameters
    ----------
    owner : ndarray, shape (n_sources, n_components)
        How likely each component is of each source; sums over the sources are 1.
    said : ndarray, shape (n_sources, n_components)
        How far each leans to each source, as `leanings` gives it.
    odds : ndarray, shape (n_components, n_components)
        Log odds of each two that they are of one source, 0 for one with itself.
    told : ndarray, shape (n_sources, n_components)
        As `like_examples` gives it.
    energies : ndarray, shape (n_components,)
        How much each counts, ≥ 0.

    Returns
    -------
    ndarray, shape (2, n_sources), float32
        Means over the energy of each source: the share that is confirmed by sound alone, 0 to 1,
        where 1 / n_sources is chance; and how far components lean to it or away from it, that is how
        far masks have to move, 0 to `LIMIT`. Of a source that has nothing, chance and 0.
    """
    root = np.sqrt(energies)
    near = (owner * (root / max(root.sum(), 1e-30))) @ odds
    by_sound = softmax(_LIKE * near + _LIKE_EXAMPLE * told)
    own = owner * (energies / max(energies.sum(), 1e-30))
    total = own.sum(axis=1)
    own = own / np.where(total > 0, total, 1)[:, None]
    confirmed = np.where(total > 0, (own * by_sound).sum(axis=1), 1 / len(owner))
    moved = (own * np.abs(said)).sum(axis=1)
    found: NDArray[np.float32] = np.stack([np.minimum(confirmed, 1), moved]).astype(np.float32)
    return found


def _joined(stretches: Sequence[Looks]) -> Looks:
    """Return the means over stretches, each by its mass of a component."""
    mass = np.stack([each.mass for each in stretches])
    total = mass.sum(axis=0)
    known = total > 0
    weights = np.where(known, mass / np.where(known, total, 1), 1 / len(mass))
    features = sum(
        weight[:, None] * each.features for weight, each in zip(weights, stretches, strict=True)
    )
    shares = sum(weight * each.shares for weight, each in zip(weights, stretches, strict=True))
    energy = np.sum([each.energy for each in stretches], axis=0)
    H = np.concatenate([each.activations for each in stretches], axis=1)
    return Looks(np.asarray(features, np.float32), np.asarray(shares), total, energy, H)


def _layer(x: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    net = _network()
    out: NDArray[np.float32] = np.maximum(x @ net[f"{name}_weights"] + net[f"{name}_bias"], 0)
    return out


@cache
def _network() -> dict[str, NDArray[Any]]:
    with resources.files(__package__).joinpath(_FILE).open("rb") as file:
        read = np.load(file, allow_pickle=False)
        return {name: read[name] for name in read.files}
