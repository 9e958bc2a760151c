"""From activations to notes: MIDI, labels, tables.

A file imports only from those that are named before it:

- `transcription`: the notes that each source plays, and files of them
"""
