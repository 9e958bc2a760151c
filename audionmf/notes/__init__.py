"""From the sound of a source to what it plays: notes, strokes, and when it sounds.

A file imports only from those that are named before it:

- `drums`: which key stands for which drum
- `events`: a note, a stretch of sound
- `files`: MIDI, labels, tables: written and read again
- `sound`: a stem in pieces, and their spectra
- `tempo`: how fast the beats are, and where that changes
- `table`: the notes of a recording
- `model`: combs of partials fitted to a piece
- `pyin`: the pitch of one voice in each frame
- `keyboard`: what is seen at each key
- `note_starts`: where notes begin, as a network tells it
- `pitched`: notes that sound together
- `lines`: one note at a time
- `strokes`: what has no pitch
- `activity`: when a source sounds
- `hearing`: one stem becomes notes or strokes
- `takes`: strokes cut out of their stem
- `sfz`: takes as a kit that samplers play
- `transcription`: the stems of a recording become its notes, and files
"""
