"""
Three instruments by example
============================

A bassoon, a harp and an oboe play together. A few seconds of each alone, here of other music, are
enough to find them in the mixture.
"""

from pathlib import Path

import audionmf

trio = Path("../../audio_samples/trio")
examples = {path.stem: path for path in sorted((trio / "examples").glob("*.flac"))}
stems = audionmf.separate(trio / "mixture.wav", examples=examples)

# %%
# A separation shows itself: players that run together, the spectrogram of each stem, and how far to
# trust it.
stems

# %%
# The stems are arrays, and sum to the mixture again.
for name, samples in stems.sources.items():
    print(f"{name:8} {samples.shape}  {samples.dtype}")

# %%
# How good are they? Where the true stems are known, SI-SDR says it.
for name, samples in stems.sources.items():
    true = audionmf.read(trio / "stems" / f"{name}.flac").samples
    print(f"{name:8} {audionmf.evaluate.si_sdr(true, samples):5.1f} dB")

# sphinx_gallery_thumbnail_path = "separation.png"
