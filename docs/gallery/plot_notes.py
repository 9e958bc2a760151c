"""
From sound to notes
===================

The notes of a lone instrument, beside those of the score that it was played from.
"""

import matplotlib.pyplot as plt

import audionmf

trio = "../../audio_samples/trio"
heard = audionmf.transcribe(f"{trio}/stems/oboe.flac")
true = audionmf.NoteTable.read(f"{trio}/score.mid")
oboe = next(name for name in true.sources if "oboe" in name.lower())

figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
for table, low, height, label in ((true.of(oboe), -0.4, 0.8, "score"), (heard, -0.2, 0.4, "heard")):
    for i, note in enumerate(table):
        axes.broken_barh(
            [(note.onset, note.offset - note.onset)],
            (note.pitch + low, height),
            color="#c9d6e8" if label == "score" else "#d1495b",
            label=label if i == 0 else None,
        )
names = {note.pitch: note.name for note in true.of(oboe)}
axes.set_yticks(list(names), names.values())
axes.set(xlabel="time (min:s)", ylabel="note")
axes.xaxis.set_major_formatter(lambda seconds, _: audionmf.plot.clock(seconds))
axes.legend()

# %%
# The table is a sequence of notes, and saves itself as MIDI, CSV or labels.
for note in list(heard)[:5]:
    print(f"{note.name:4} {note.onset:5.2f} to {note.offset:5.2f} s, velocity {note.velocity}")
