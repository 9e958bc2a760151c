"""
One example, and the rest
=========================

With a single example there are two stems: the source, and all that it does not explain.
"""

# %%
# How far to trust a stem is part of the result, and stands beside its player: a stem that nearly
# everything went to, or nearly nothing, is called so.
from pathlib import Path

import audionmf

drums = Path("../../audio_samples/drums")
snare = drums / "examples/snare.flac"
stems = audionmf.separate(drums / "mixture.wav", examples={"snare": snare})
stems

# sphinx_gallery_thumbnail_path = "separation.png"
