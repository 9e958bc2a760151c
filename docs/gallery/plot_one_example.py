"""
One example, and the rest
=========================

With a single example there are two stems: the source, and all that it does not explain. What the
trust table says is part of the result: a stem that nearly everything went to, or nearly nothing, is
called so.
"""

from pathlib import Path

import audionmf

drums = Path("../../audio_samples/drums")
stems = audionmf.separate(drums / "mixture.wav", examples={"snare": drums / "examples/snare.flac"})
stems

# sphinx_gallery_thumbnail_path = "separation.png"
