#!/usr/bin/env python3
"""Learn the spectral templates of an instrument, keep them, and draw them. Copy and change it.

extract_templates.py RECORDING [N_COMPONENTS]
"""

import sys
from pathlib import Path

import audionmf
from audionmf import nmf, plot


def main(path: str, n_components: int) -> None:
    """Write NAME.npz and NAME.png beside where it is run."""
    recording = audionmf.read(path)
    bank = audionmf.learn(recording, n_components=n_components)
    bank.save(f"{Path(path).stem}.npz")

    V = abs(bank.stft.forward(recording.samples)).mean(axis=0)
    H = nmf.activate(V, bank.templates)
    picture = plot.decomposition(V, bank.templates, H, bank.stft, bank.sample_rate)
    plot.save(picture, f"{Path(path).stem}.png")
    print(f"{bank.n_components} templates of {bank.names[0]!r} and a picture of them are written")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) == 3 else 20)
