"""
From sound to notes
===================

The notes of a lone instrument, beside those of the score that it was played from.
"""

# %%
# Bars are the notes that are heard, darker where they are louder; outlines are those of the score.
import audionmf
from audionmf import plot

trio = "../../audio_samples/trio"
heard = audionmf.transcribe(f"{trio}/stems/oboe.flac")
score = audionmf.NoteTable.read(f"{trio}/score.mid")


def roll(notes):
    """Return notes as `plot.piano_roll` takes them."""
    rows = [(n.onset, n.offset, n.pitch, n.velocity / 127) for n in notes]
    return plot.rolled(rows, {})


picture = plot.piano_roll(None, roll(heard), 12.0, true=roll(score.of("oboe"))).figure
picture

# %%
# The table is a sequence of notes, and saves itself as MIDI, CSV or labels.
for note in list(heard)[:5]:
    span = f"{note.onset:5.2f} to {note.offset:5.2f} s"
    print(f"{note.name:4} {span}, velocity {note.velocity}")
