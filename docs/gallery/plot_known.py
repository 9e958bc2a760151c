"""
Everything that is known, together
==================================

What is known of a source is one object: an example, its notes, ranges where it is alone or silent.
Here the score says when the bassoon plays, an example how it sounds, and of the others only the
notes are known.
"""

from pathlib import Path

import audionmf
from audionmf import Known
from audionmf.sources.score import read_score

trio = Path("../../audio_samples/trio")
score = trio / "score.mid"
parts = [part.name for part in read_score(score).parts]
print(parts)

# %%
bassoon, *others = sorted(parts, key=lambda name: "bassoon" not in name.lower())
stems = audionmf.separate(
    trio / "mixture.wav",
    sources={
        bassoon: Known(notes=(score, bassoon), example=trio / "examples/bassoon.flac"),
        **{name: Known(notes=(score, name)) for name in others},
    },
)
stems

# sphinx_gallery_thumbnail_path = "separation.png"
