#!/usr/bin/env python3
"""Denoise mixtures of something wanted and a noise, and print SI-SDR in dB of what is wanted.

    compare_denoising.py FOLDER/speech_street:street FOLDER/bird_field:field ...

Each track has `mixture.flac`, `stems/NAME.flac` and `examples/NAME.flac`; the name behind the colon is
the noise, learnt from its example, which is another passage. Printed is a table in Markdown: `denoise`
at several reductions, the same live, and the package noisereduce if it is installed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import audionmf
from audionmf.evaluate.measures import si_sdr

Samples = NDArray[Any]
Way = Callable[[audionmf.Audio, audionmf.Audio], Samples]


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tracks", nargs="+", metavar="TRACK:NOISE")
    tracks = [opened(*text.rsplit(":", 1)) for text in parser.parse_args().tracks]
    names = [name for name, *_ in tracks]
    print(f"| | {' | '.join(names)} | mean |\n|---|{'---|' * (len(names) + 1)}")
    for label, way in ways().items():
        scores = [si_sdr(wanted, way(mixture, noise)) for _, mixture, noise, wanted in tracks]
        cells = " | ".join(f"{score:.1f}" for score in [*scores, np.mean(scores)])
        print(f"| {label} | {cells} |", flush=True)


def opened(folder: str, noise: str) -> tuple[str, audionmf.Audio, audionmf.Audio, Samples]:
    """Return a name, the mixture, the noise alone elsewhere, and what is wanted."""
    track = Path(folder)
    wanted = [path for path in (track / "stems").iterdir() if path.stem != noise]
    return (
        track.name,
        audionmf.read(track / "mixture.flac"),
        audionmf.read(track / "examples" / f"{noise}.flac"),
        np.asarray(sum(audionmf.read(path).samples for path in wanted)),
    )


def ways() -> dict[str, Way]:
    """Return what is compared."""
    found: dict[str, Way] = {"the mixture": lambda mixture, _: mixture.samples}
    for reduction in (12, 24, 100):
        found[f"`denoise`, {reduction} dB"] = lambda mixture, noise, db=reduction: (
            audionmf.denoise(mixture, noise, reduction=db).samples
        )
    found["live, 24 dB"] = live
    try:
        from noisereduce import reduce_noise
    except ImportError:
        return found
    for kind, stationary in (("stationary", True), ("non-stationary", False)):
        found[f"noisereduce, {kind}"] = lambda mixture, noise, steady=stationary: reduce_noise(
            y=mixture.samples, sr=mixture.sample_rate, stationary=steady,
            **({"y_noise": noise.samples[0]} if steady else {}),
        )  # fmt: skip
    return found


def live(mixture: audionmf.Audio, noise: audionmf.Audio) -> Samples:
    """Return what is left by a live denoiser."""
    denoiser = audionmf.LiveDenoiser(noise, mixture.n_channels, sample_rate=mixture.sample_rate)
    pieces = [denoiser.push(mixture.samples)["clean"], denoiser.flush()["clean"]]
    return np.concatenate(pieces, axis=1)


if __name__ == "__main__":
    main()
