"""
A drum loop, told nothing
=========================

Without an example, components are grouped by pitch, timbre, place in the stereo image and course in
time. On a drum loop that works well; on real music it is a guess, and says so.
"""

import audionmf

stems = audionmf.separate("../../audio_samples/drums/mixture.wav", n_sources=3)
stems

# %%
# When each of them sounds, as a table.
for event in stems.activity()[:8]:
    when = f"{event.begin:6.2f} to {event.end:6.2f} s"
    print(f"{event.source:10} {when}   {event.level_db:6.1f} dB")

# sphinx_gallery_thumbnail_path = "decomposition.png"
