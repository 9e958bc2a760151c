#!/usr/bin/env python3
"""Train the network that tells how likely two components are of one source. Needs PyTorch.

    train_likeness.py FOLDER... -o audionmf/analysis/likeness.npz

Each FOLDER holds tracks as evaluate_tracks.py takes them: `mixture.*` and `stems/`, which sum to it;
`make_mixtures.py` makes them. Of every mixture two sets of components are heard: those of blind
separation, and forty that are learnt without any start, as vote by example. A component belongs to the
sources by the energy of the true stems within its share. Recordings that are made of strokes, which
are grouped otherwise, have the second set alone.

The network that is shipped learnt from 364 mixtures of `make_mixtures.py`, from four soundfonts,
recorded notes of a piano, eight kits, a synthetic singer, and voices of speech synthesisers and of
telephone prompts.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from evaluate_hints import true_shares
from torch import nn
from torch.nn import functional
from training import train

import audionmf
from audionmf import nmf
from audionmf.analysis import blind
from audionmf.analysis.likeness import CUES, N_OWN, N_PAIR, OWN_CUES, PAIR_CUES, Pairs, Sound
from audionmf.spectra.bands import Bands

HIDDEN, SEEN, TOLD = 32, 16, 32
DROPPED, SOME_CUES = 0.2, 0.3
FREE, ITERATIONS = 40, 60


def main() -> None:
    """Hear all mixtures, train and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=300, help="of training")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    tracks = [t for f in options.folders for t in sorted(f.iterdir()) if (t / "stems").is_dir()]
    data = [one for track in tracks for one in heard_in(track)]
    if not data:
        parser.error("no mixture to learn from")
    net = Network()
    for name, width in (("own", N_OWN), ("pair", N_PAIR)):
        seen = torch.cat([one[name].reshape(-1, width) for one in data])
        getattr(net, f"{name}_mean").copy_(seen.mean(dim=0))
        getattr(net, f"{name}_spread").copy_(seen.std(dim=0) + 0.05)
    rng = np.random.default_rng(options.seed)
    train(net, lambda j: loss(net, data[j]), len(data), options.seconds, rng)
    np.savez(options.out, **net.arrays())


def heard_in(track: Path) -> Iterator[dict[str, torch.Tensor]]:
    """Yield what is heard of two sets of components of a mixture, and whose they are."""
    mixture = audionmf.read(next(track.glob("mixture.*")))
    stems = {p.stem: audionmf.read(p).samples for p in sorted((track / "stems").iterdir())}
    sounds: list[Sound] = []

    def listen(*args: Any) -> Sound:
        sounds.append(component_sound(*args))
        return sounds[-1]

    component_sound = blind.component_sound
    with mock.patch.object(blind, "component_sound", listen):
        found = audionmf.analyse(mixture, n_sources=len(stems), spatial=False).activated()
    if sounds:
        yield told(sounds[0], true_shares(found, stems))
    stft = found.templates.stft
    bands = Bands.of(stft, mixture.sample_rate)
    X = stft.forward(mixture.samples)
    power = np.maximum(sum(bands.pool(np.abs(x) ** 2) for x in X), 1e-20)
    V = np.sqrt(power / power.max()).astype(np.float32)
    model = nmf.fit(V, min(FREE, V.shape[1]), max_iter=ITERATIONS, seed=0)
    W, H = model.templates, model.activations
    mass = W.T[:, :, None] * H[:, None]
    mass *= V / np.maximum(mass.sum(axis=0), 1e-20)
    owned = []
    for stem in stems.values():
        like = sum(
            bands.pool((y * x.conj()).real) for y, x in zip(stft.forward(stem), X, strict=True)
        )
        owned.append((np.clip(like / power, 0, 1) * mass).sum(axis=(1, 2)))
    energies = (mass.astype(np.float64) ** 2).sum(axis=(1, 2))
    yield told(Sound(W, H, bands.frequencies, energies), np.stack(owned, axis=1))
    print(track.name, flush=True)


def told(sound: Sound, owned: np.ndarray) -> dict[str, torch.Tensor]:
    """Return what the network sees of components, how each pair counts, and how far it is one."""
    pairs = Pairs(sound)
    shares = owned / np.maximum(owned.sum(axis=1, keepdims=True), 1e-20)
    clear = np.maximum(shares.max(axis=1) - 1 / shares.shape[1], 0)
    weights = pairs.weights * clear
    counts = np.outer(weights, weights) * (1 - np.eye(len(weights)))
    arrays = {
        "own": pairs.own, "pair": pairs.of(slice(None)), "weights": pairs.weights,
        "counts": counts, "one": shares @ shares.T,
    }  # fmt: skip
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}


class Network(nn.Module):
    """The network of `audionmf.analysis.likeness`, to be trained."""

    own_mean: torch.Tensor
    own_spread: torch.Tensor
    pair_mean: torch.Tensor
    pair_spread: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, width in (("own", N_OWN), ("pair", N_PAIR)):
            self.register_buffer(f"{name}_mean", torch.zeros(width))
            self.register_buffer(f"{name}_spread", torch.ones(width))
        self.first, self.second = nn.Linear(N_OWN, HIDDEN), nn.Linear(2 * HIDDEN, SEEN)
        self.third, self.fourth = nn.Linear(2 * SEEN + N_PAIR, TOLD), nn.Linear(TOLD, 1)

    def forward(self, one: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the log odds of all pairs."""
        kept = some_cues() if self.training and torch.rand(()) < SOME_CUES else {*CUES, None}
        own_kept, pair_kept = (
            torch.tensor([c in kept for c in cues]) for cues in (OWN_CUES, PAIR_CUES)
        )
        own = (one["own"] - self.own_mean) / self.own_spread * own_kept
        pair = (one["pair"] - self.pair_mean) / self.pair_spread * pair_kept
        hidden = functional.relu(self.first(functional.dropout(own, DROPPED, self.training)))
        everyone = (one["weights"] @ hidden).expand_as(hidden)
        seen = torch.cat([hidden, everyone], dim=1)
        seen = self.second(functional.dropout(seen, DROPPED, self.training))
        apart, alike = seen[:, None] - seen, seen[:, None] * seen
        pair = functional.dropout(pair, DROPPED, self.training)
        found = self.third(torch.cat([apart.abs(), functional.relu(alike), pair], dim=2))
        return self.fourth(functional.relu(found))[..., 0]

    def arrays(self) -> dict[str, Any]:
        """Return the weights as `likeness` reads them."""
        found = {name: buffer.numpy() for name, buffer in self.named_buffers()}
        for name in ("first", "second", "third", "fourth"):
            layer = getattr(self, name)
            found[f"{name}_weights"] = np.ascontiguousarray(layer.weight.detach().numpy().T)
            found[f"{name}_bias"] = layer.bias.detach().numpy()
        return found


def some_cues() -> set[str | None]:
    """Return one cue or some, as `--cues` leaves."""
    chosen = {cue for cue in CUES if torch.rand(()) < 0.5}
    return (chosen or {CUES[int(torch.randint(len(CUES), ()))]}) | {None}


def loss(net: Network, one: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return how wrong the odds are; pairs of one source count as much as those of two."""
    odds, same = net(one), one["counts"] * one["one"]
    apart = one["counts"] - same
    wrong = (same * functional.softplus(-odds)).sum() / same.sum().clamp(min=1e-12)
    return (wrong + (apart * functional.softplus(odds)).sum() / apart.sum().clamp(min=1e-12)) / 2


if __name__ == "__main__":
    main()
