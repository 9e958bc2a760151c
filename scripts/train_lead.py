#!/usr/bin/env python3
"""Train the network that knows a lead, on leads and accompaniments that are mixed anew each time.

    train_lead.py FOLDER... -o audionmf/analysis/lead_course.npz

FOLDER holds `leads/NAME.*`, each alone with its pitch in `leads/NAME.csv` (lines of seconds, Hz; 0 Hz
where it has none), and `accompaniments/NAME.*`, all at one sample rate; others may have another.
Needs PyTorch. Leads and accompaniments are mixed at other speeds, so at other pitches too; often two
accompaniments sound at once. The network that is shipped learnt from 184 leads and 182 accompaniments
of 6.5 s, in 1800 mixtures at 44.1 and 16 kHz: melodies sung by a vocoder with the spectra of telephone
prompts, the prompts themselves, recorded notes of seven instruments one after the other, some on two
strings, blown, bowed and plucked tones by additive synthesis with glides and vibrato, soundfonts; over
game music, rendered bands, pianos, guitars, strings, drums and noises; coloured, and in rooms.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.signal import resample_poly
from torch import nn
from torch.nn import functional
from training import train

import audionmf
from audionmf.analysis.lead_pitches import N_FEATURES, PITCHES, candidates
from audionmf.spectra.bands import Bands
from audionmf.spectra.stft import STFT

NEAR = 2.5
HIDDEN, SEEN = 48, 24
SPEEDS = [(1, 1)] * 4 + [(8, 9), (9, 8), (15, 16), (16, 15), (5, 6), (6, 5), (17, 16), (16, 17)]
LEVEL, LOUD, LEAST, MOST = -4, 0.5, 0.15, 4.0
LEVEL_DB, MOST_DB, SECOND, SECOND_DB = 4.5, 10.0, 0.35, -2.0
DROPPED, COLOUR, DECAY = 0.1, 0.05, 1e-3


def main() -> None:
    """Mix, train and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--mixtures", type=int, default=1800)
    parser.add_argument("--seconds", type=float, default=200, help="of training")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    torch.manual_seed(options.seed)
    pools = [Pool(folder) for folder in options.folders]
    mixtures = [pools[k % len(pools)].mixture(rng) for k in range(options.mixtures)]
    net = Network()
    seen = torch.cat([features[there] for features, there, _ in mixtures[:100]])
    net.mean.copy_(seen.mean(dim=0))
    net.spread.copy_(seen.std(dim=0) + 1e-3)
    train(net, lambda j: loss(net, mixtures[j]), len(mixtures), options.seconds, rng, DECAY)
    np.savez(options.out, **net.arrays())


class Pool:
    """Leads and accompaniments as spectra."""

    def __init__(self, folder: Path) -> None:
        self.leads = [p for p in sorted((folder / "leads").iterdir()) if p.suffix != ".csv"]
        self.others = sorted((folder / "accompaniments").iterdir())
        self.rate = audionmf.read(self.leads[0]).sample_rate
        settings = audionmf.Settings()
        self.stft = STFT(settings.n_fft_at(self.rate), settings.hop_length_at(self.rate))
        self.bands = Bands.of(self.stft, self.rate)

    def mixture(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return features of candidates, which there are, and which is right (12: none, -1: lost)."""
        lead = self.leads[rng.integers(len(self.leads))]
        slower, faster = SPEEDS[rng.integers(len(SPEEDS))]
        X, Y = self._spectrum(lead, slower, faster), self._accompaniment(rng)
        n = min(X.shape[1], Y.shape[1])
        hertz = self._pitch(lead, n, faster / slower)
        sounds = np.ones(n)
        if rng.random() < 0.5:  # it rests for a while
            first = int(rng.integers(n))
            rest = slice(
                first, first + int(rng.uniform(0.8, 2.5) * self.rate / self.stft.hop_length)
            )
            sounds[rest], hertz[rest] = 0, 0
            sounds = np.convolve(np.pad(sounds, 2, mode="edge"), np.ones(5) / 5, "valid")
        level = 10 ** (np.clip(rng.normal(0, LEVEL_DB), -MOST_DB, MOST_DB) / 20)
        Y = np.roll(Y[:, :n], rng.integers(n), axis=1) * self._colour(rng)
        V = self.bands.pool(
            np.abs(X[:, :n] * sounds * self._colour(rng) * level + Y).astype(np.float32)
        )
        parts = list(candidates(V, self.bands.frequencies))
        features, pitches, there = (np.concatenate(each) for each in zip(*parts, strict=True))
        return (
            torch.from_numpy(features), torch.from_numpy(there),
            torch.from_numpy(self._right(pitches, there, hertz)),
        )  # fmt: skip

    def _accompaniment(self, rng: np.random.Generator) -> np.ndarray:
        """Return the spectrum of one accompaniment, or of two at once."""
        Y = self._other(rng)
        if rng.random() < SECOND:
            Z = self._other(rng)
            n = min(Y.shape[1], Z.shape[1])
            level = 10 ** (rng.normal(SECOND_DB, 4) / 20)
            Y = (Y[:, :n] + level * np.roll(Z[:, :n], rng.integers(n), axis=1)) / np.hypot(1, level)
        return Y

    def _other(self, rng: np.random.Generator) -> np.ndarray:
        path = self.others[rng.integers(len(self.others))]
        return self._spectrum(path, *SPEEDS[rng.integers(len(SPEEDS))])

    def _spectrum(self, path: Path, slower: int, faster: int) -> np.ndarray:
        samples = audionmf.read(path).samples.mean(axis=0, keepdims=True)
        samples = resample_poly(samples, slower, faster, axis=1)
        X: np.ndarray = self.stft.forward((samples / samples.std()).astype(np.float32))[0]
        return X

    def _pitch(self, lead: Path, n: int, speed: float) -> np.ndarray:
        seconds, hertz = np.loadtxt(lead.with_suffix(".csv"), delimiter=",").T
        at = np.arange(n) * self.stft.hop_length / self.rate * speed
        return np.asarray(speed * hertz[np.clip(np.searchsorted(seconds, at), 0, len(hertz) - 1)])

    def _colour(self, rng: np.random.Generator) -> np.ndarray:
        places, decibels = np.geomspace(50, 20000, 6), rng.normal(0, rng.choice([0, 3]), 6)
        f = self.stft.frequencies(self.rate)
        return 10 ** (np.interp(np.log(f + 50), np.log(places), decibels) / 20)[:, None]

    @staticmethod
    def _right(pitches: np.ndarray, there: np.ndarray, hertz: np.ndarray) -> np.ndarray:
        sung = hertz > 0
        place = 48 * np.log2(np.where(sung, hertz, 100) / PITCHES[0])
        away = np.abs(pitches - place[:, None]) + 1000 * ~there
        nearest = np.where(away.min(axis=1) <= NEAR, away.argmin(axis=1), -1)
        return np.where(sung, nearest, pitches.shape[1])


class Network(nn.Module):
    """The network of `audionmf.analysis.lead_course`, to be trained."""

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(N_FEATURES))
        self.register_buffer("spread", torch.ones(N_FEATURES))
        self.layers = nn.ModuleDict({
            "first": nn.Linear(N_FEATURES, HIDDEN), "second": nn.Linear(HIDDEN, SEEN),
            "pitch": nn.Linear(SEEN, 1), "none": nn.Linear(2 * SEEN, 1),
            "third": nn.Linear(3 * SEEN, SEEN),
            "pitch_again": nn.Linear(SEEN, 1), "none_again": nn.Linear(2 * SEEN, 1),
        })  # fmt: skip

    def forward(self, features: torch.Tensor, there: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return what is said of the candidates, and last of none, at first and at second sight."""
        shown, layers = there[..., None], self.layers
        x = functional.dropout((features - self.mean) / self.spread, DROPPED, self.training)
        hidden = functional.relu(layers["second"](functional.relu(layers["first"](x))))
        first = self._said(hidden, there, "")
        likely = first.softmax(dim=1)[:, :-1, None]
        lead = (hidden * likely).sum(dim=(0, 1)) / (likely.sum() + 1)
        others = (1 - likely) * shown
        rest = (hidden * others).sum(dim=(0, 1)) / (others.sum() + 1)
        third = functional.relu(
            layers["third"](torch.cat([hidden, hidden * lead, hidden * rest], -1))
        )
        return first, first + self._said(third, there, "_again").clamp(min=-1e4)

    def _said(self, hidden: torch.Tensor, there: torch.Tensor, again: str) -> torch.Tensor:
        shown = hidden * there[..., None]
        none = self.layers["none" + again](torch.cat([shown.mean(dim=1), shown.amax(dim=1)], dim=1))
        value = self.layers["pitch" + again](hidden)[..., 0].masked_fill(~there, -1e4)
        return torch.cat([value, none], dim=1)

    def arrays(self) -> dict[str, Any]:
        """Return the weights as `lead_course` reads them."""
        found = {"mean": self.mean.numpy(), "spread": self.spread.numpy()}
        for name, layer in self.layers.items():
            found[f"{name}_weights"] = np.ascontiguousarray(layer.weight.detach().numpy().T)
            found[f"{name}_bias"] = layer.bias.detach().numpy()
        return found


def loss(net: Network, mixture: Any) -> torch.Tensor:
    """Return how wrong both looks at a mixture are, loud frames counting more."""
    features, there, right = mixture
    features = features + COLOUR * torch.randn(features.shape[-1]) * net.spread
    weights = (LOUD * features[:, 0, LEVEL]).exp().clamp(LEAST, MOST) * (right >= 0)
    weights = weights / weights.sum().clamp(min=1e-6)
    first, second = (
        functional.cross_entropy(said, right, ignore_index=-1, reduction="none") @ weights
        for said in net(features, there)
    )
    return 0.3 * first + second


if __name__ == "__main__":
    main()
