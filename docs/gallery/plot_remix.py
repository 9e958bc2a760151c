"""
Minus one, for practice
=======================

A gain for each source, put together in one file: here the hi-hat goes, and the snare is 6 dB
softer.
"""

from pathlib import Path

import audionmf

drums = Path("../../audio_samples/drums")
examples = {path.stem: path for path in sorted((drums / "examples").glob("*.flac"))}
stems = audionmf.separate(drums / "mixture.wav", examples=examples)
practice = stems.remix({"hihat": 0.0, "snare": 0.5})
stems

# %%
# Sources that keep their gain are not touched: with none changed the remix is the mixture, bit for
# bit.
import numpy as np

same = stems.remix({})
print(np.array_equal(same.samples, stems.mixture))
print(f"{practice.duration:.1f} s at {practice.sample_rate} Hz")

# sphinx_gallery_thumbnail_path = "separation.png"
