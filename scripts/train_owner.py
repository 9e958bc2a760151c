#!/usr/bin/env python3
"""Train the network that tells whose a component of a mixture is, on mixtures whose stems are known.

    train_owner.py FOLDER... -o audionmf/analysis/component_owner.npz

Each folder in FOLDER holds `mixture.*`, `stems/NAME.*`, which sum to it, and `examples/NAME.*`, as
those do that `evaluate_tracks.py` takes. Mixtures are 4 to 10 s long, of one channel. What is learnt
is to move the masks that the package finds by example towards less error in the stems. Needs PyTorch.

The network that is shipped learnt from 418 mixtures of two to four sources, none of them recorded as
a mixture: lines, chords, basses and drums from two soundfonts, recorded notes of seven instruments,
single drums of seven kits, melodies of a synthetic voice, voices of a speech synthesiser and of
telephone prompts, game music and noises; coloured, half of them in rooms. The examples play other
notes, and four of ten come from another soundfont, player, kit or speaker than the mixture.
That material is lost; trained anew on mixtures of `make_mixtures.py` it was worse (docs/methods.md).
That makes mixtures of the same kind (those in stereo are passed over here), from these packages of
Debian and what its help names besides: fluidsynth, timidity, espeak-ng, flite, ffmpeg,
timgm6mb-soundfont, csound-soundfont, freepats, hydrogen-drumkits, hydrogen-data,
asterisk-core-sounds-{en,fr,it}-g722, klettres-data, gamine-data, bucklespring-data.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from training import train

import audionmf
from audionmf.analysis import component_owner
from audionmf.analysis.component_features import ALONE, N_FEATURES, Looks
from audionmf.analysis.component_owner import LIMIT, N_FIT, Fit
from audionmf.analysis.component_stretches import stretches
from audionmf.rendering.voters import Voters
from audionmf.spectra.bands import Bands

HIDDEN, SEEN = 32, 16
DROPPED, WITHOUT_EXAMPLES = 0.3, 0.25
WORSE, OWNER = 2.0, 3.0
FRAMES = 12
N_SEEN = N_FEATURES + N_FIT


def main() -> None:
    """Analyse, train and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=120, help="of training")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    tracks = sorted(track for folder in options.folders for track in folder.iterdir())
    data = [one for track in tracks if track.is_dir() for one in seen_in(track)]
    if not data:
        parser.error("no mixture has components that vote")
    net = Network()
    features = torch.cat([one["features"].reshape(-1, N_SEEN) for one in data])
    net.mean.copy_(features.mean(dim=0))
    net.spread.copy_(features.std(dim=0) + 0.05)
    rng = np.random.default_rng(options.seed)

    def lost(j: int) -> torch.Tensor:
        return loss(net, data[j], slice(int(rng.integers(FRAMES)), None, FRAMES))

    train(net, lost, len(data), options.seconds, rng)
    np.savez(options.out, **net.arrays())


def seen_in(track: Path) -> Iterator[dict[str, torch.Tensor]]:
    """Yield what the network sees of each stretch of a mixture, and what decides how right it is."""
    source = audionmf.read(next(track.glob("mixture.*")))
    stems = {path.stem: audionmf.read(path) for path in (track / "stems").iterdir()}
    examples = {path.stem: str(path) for path in (track / "examples").iterdir()}
    told: list[tuple[list[Looks], Fit]] = []

    def listen(looks: list[Looks], fit: Fit) -> np.ndarray:
        told.append((looks, fit))
        return np.zeros(looks[0].shares.shape, np.float32)

    with mock.patch.object(component_owner, "leanings", listen):
        found = audionmf.analyse(source, examples={name: examples[name] for name in stems})
    if found.voters is None or source.n_channels > 1:
        return
    ((every, fit),) = told
    stft, rate = found.templates.stft, source.sample_rate
    bands = Bands.of(stft, rate)
    X = stft.forward(source.samples)[0]
    Y = np.stack([stft.forward(stems[name].samples)[0] for name in found.source_names])
    voters = dataclasses.replace(found.voters, leanings=None)
    first = 0
    plain = dataclasses.replace(found, voters=None)
    for looks, stretch in zip(every, stretches(plain, voters, source), strict=True):
        fitted = np.broadcast_to(fit.features(), (*looks.features.shape[:2], N_FIT))
        own = slice(first, first + stretch.V.shape[1])
        first = own.stop
        x, y = X[:, own].astype(np.complex128), Y[:, :, own].astype(np.complex128)
        power = np.maximum(bands.pool(np.abs(x) ** 2), 1e-20)
        like = np.stack([bands.pool((one * x.conj()).real) for one in y]) / power
        level = np.stack([bands.pool(np.abs(one) ** 2) for one in y]) / power
        mass = stretch.W.T[:, :, None] * stretch.G[:, None]
        mass *= stretch.V / np.maximum(mass.sum(axis=0), 1e-20)
        truth = np.einsum("sbt,kbt->sk", np.clip(like, 0, 1), mass)
        arrays = {
            "features": np.concatenate([looks.features, fitted], axis=2),
            "shares": looks.shares, "mass": looks.mass, "votes": votes_of(voters, looks),
            "voted": np.array(fit.voted), "plain": stretch.plain, "W": stretch.W, "G": stretch.G,
            "like": np.clip(like, -8, 8), "level": level, "power": power / power.sum(),
            "truth": truth / np.maximum(truth.sum(axis=0), 1e-12),
            "energy": (mass**2).sum(axis=(1, 2)) / (mass**2).sum(),
        }  # fmt: skip
        yield {
            name: torch.from_numpy(np.asarray(array, np.float32)) for name, array in arrays.items()
        }


def votes_of(voters: Voters, looks: Looks) -> np.ndarray:
    """Return the votes, or what they would be."""
    if voters.votes is not None:
        return voters.votes
    shares = (looks.shares + 1e-4) ** 2
    return shares / shares.sum(axis=0)


class Network(nn.Module):
    """The network of `audionmf.analysis.component_owner`, to be trained."""

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(N_SEEN))
        self.register_buffer("spread", torch.ones(N_SEEN))
        self.first, self.second = nn.Linear(N_SEEN, HIDDEN), nn.Linear(3 * HIDDEN, SEEN)
        self.third = nn.Linear(SEEN, 1)
        nn.init.zeros_(self.third.weight)
        nn.init.zeros_(self.third.bias)

    def forward(self, one: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return how far components lean, (n_sources, n_components)."""
        features = one["features"]
        if self.training and torch.rand(()) < WITHOUT_EXAMPLES:  # as a bank of templates has none
            features = features.clone()
            features[..., ALONE] = 0
        x = functional.dropout((features - self.mean) / self.spread, DROPPED, self.training)
        hidden = functional.relu(self.first(x))
        shares = one["shares"] + 1e-4
        shares = shares / shares.sum(dim=0) * one["mass"].sqrt()
        weights = (shares / shares.sum(dim=1, keepdim=True))[..., None]
        beside = [hidden.mean(dim=0, keepdim=True), (hidden * weights).sum(dim=1, keepdim=True)]
        seen = torch.cat([hidden, *(each.expand_as(hidden) for each in beside)], dim=-1)
        seen = functional.relu(self.second(functional.dropout(seen, DROPPED, self.training)))
        said = LIMIT * torch.tanh(self.third(seen)[..., 0] / LIMIT)
        return said - said.mean(dim=0)

    def arrays(self) -> dict[str, Any]:
        """Return the weights as `component_owner` reads them."""
        found = {"mean": self.mean.numpy(), "spread": self.spread.numpy()}
        for name in ("first", "second", "third"):
            layer = getattr(self, name)
            found[f"{name}_weights"] = np.ascontiguousarray(layer.weight.detach().numpy().T)
            found[f"{name}_bias"] = layer.bias.detach().numpy()
        return found


def errors(one: dict[str, torch.Tensor], said: torch.Tensor, some: slice) -> torch.Tensor:
    """Return the error of each stem in some frames, under masks moved by what is said."""
    W, G = one["W"], one["G"][:, some]
    sounds = (W @ G).clamp_min(1e-12)
    voted, moved = (torch.einsum("bk,sk,kt->sbt", W, x, G) / sounds for x in (one["votes"], said))
    logs = torch.log(one["plain"][:, :, some] + 1e-4)
    if one["voted"]:
        logs = 0.5 * logs + 0.75 * torch.log(voted + 1e-5)
    masks = torch.softmax(logs + moved, dim=0)
    like, level = one["like"][:, :, some], one["level"][:, :, some]
    return ((level - 2 * masks * like + masks**2) * one["power"][:, some]).sum(dim=(1, 2))


def loss(net: Network, one: dict[str, torch.Tensor], some: slice) -> torch.Tensor:
    """Return the change of the error in dB, where it is worse twice, and how wrong the owners are."""
    said = net(one)
    with torch.no_grad():
        before = errors(one, torch.zeros_like(said), some)
    little = 1e-2 * one["power"][:, some].sum()
    change = 10 * torch.log10((errors(one, said, some) + little) / (before + little))
    weight = one["energy"].sqrt()
    owner = functional.log_softmax(torch.log(one["votes"] + 1e-6) + said, dim=0)
    wrong = -(weight * (one["truth"] * owner).sum(dim=0)).sum() / weight.sum()
    return (change + WORSE * functional.relu(change)).mean() + OWNER * wrong


if __name__ == "__main__":
    main()
