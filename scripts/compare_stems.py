#!/usr/bin/env python3
"""Say how well stems match the true ones: SI-SDR per stem, and the residual of their sum.

compare_stems.py TRUE_STEMS_FOLDER STEMS_FOLDER MIXTURE
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import audionmf
from audionmf.evaluate.measures import si_sdr


def main(true_folder: str, folder: str, mixture_path: str) -> int:
    """Print a line for each stem, and the mean."""
    mixture = audionmf.read(mixture_path)
    total = np.zeros_like(mixture.samples)
    rows = []
    for path in sorted(Path(true_folder).iterdir()):
        stem = audionmf.read(Path(folder) / f"{path.stem}.wav")
        truth = audionmf.read(path).samples
        rows.append((path.stem, si_sdr(truth, stem.samples), si_sdr(truth, mixture.samples)))
        total += stem.samples
    print(f"  {'stem':12s} {'SI-SDR':>8s}   (mixture taken as the stem)")
    for name, score, before in rows:
        print(f"  {name:12s} {score:5.1f} dB   ({before:.1f} dB)")
    print(f"  {'mean':12s} {np.mean([score for _, score, _ in rows]):5.1f} dB")
    residual = np.abs(total - mixture.samples).max()
    print(f"  the stems sum to the mixture; largest difference {residual:.1e} of full scale")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
