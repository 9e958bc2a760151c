"""
Live, block by block
====================

With known templates a stream is taken apart as it comes in, after a delay that is stated before.
"""

import time
from pathlib import Path

import numpy as np

import audionmf

drums = Path("../../audio_samples/drums")
bank = audionmf.Templates.merge(
    [
        audionmf.learn(path, path.stem, n_components=8)
        for path in sorted((drums / "examples").glob("*.flac"))
    ]
)
mixture = audionmf.read(drums / "mixture.wav")
separator = audionmf.LiveSeparator(bank, mixture.n_channels, sample_rate=mixture.sample_rate)

pieces, seconds = [], []
for begin in range(0, mixture.n_samples, 1024):
    start = time.perf_counter()
    pieces.append(separator.push(mixture.samples[:, begin : begin + 1024]))
    seconds.append(time.perf_counter() - start)
pieces.append(separator.flush())

stems = {name: np.concatenate([piece[name] for piece in pieces], axis=1) for name in pieces[0]}
print({name: samples.shape for name, samples in stems.items()})
print(
    f"a block of {1000 * 1024 / mixture.sample_rate:.0f} ms takes {1000 * np.median(seconds):.1f} ms"
)

# sphinx_gallery_thumbnail_path = "reconstruction.png"
