"""
With the score
==============

A score says when each part plays which note.
"""

# %%
# Its clock need not be that of the recording: it is moved and stretched where it has to be.
import audionmf

trio = "../../audio_samples/trio"
stems = audionmf.separate(f"{trio}/mixture.wav", midi=f"{trio}/score.mid")
stems

# sphinx_gallery_thumbnail_path = "separation.png"
