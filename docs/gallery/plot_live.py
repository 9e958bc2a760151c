"""
Live, block by block
====================

With known templates a stream is taken apart as it comes in, after a delay that is stated before.
"""

# %%
# The templates of three drums, learnt from a recording of each.
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

# %%
# The loop comes in blocks of 1024 samples, as from a sound card. What comes out of each is kept.
mixture = audionmf.read(drums / "mixture.wav")
rate = mixture.sample_rate
separator = audionmf.LiveSeparator(bank, mixture.n_channels, sample_rate=rate)

pieces, seconds = [], []
for begin in range(0, mixture.n_samples, 1024):
    start = time.perf_counter()
    block = mixture.samples[:, begin : begin + 1024]
    pieces.append(separator.push(block))
    seconds.append(time.perf_counter() - start)
pieces.append(separator.flush())

for name in pieces[0]:
    stem = np.concatenate([piece[name] for piece in pieces], axis=1)
    print(f"{name:6} {stem.shape}")

# %%
# A block has to be done before the next one is there.
lasts, takes = 1024 / rate, np.median(seconds)
print(f"a block of {1000 * lasts:.0f} ms takes {1000 * takes:.1f} ms")

# sphinx_gallery_thumbnail_path = "reconstruction.png"
