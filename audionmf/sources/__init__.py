"""What is known of sources: templates and banks, ranges and labels, scores.

A file imports only from those that are named before it:

- `struck`: patterns of struck sounds in a bank
- `templates`: banks of spectral templates
- `labels`: ranges where a source is alone or absent
- `midi`: Standard MIDI files, from bytes to events
- `score`: notes from a MIDI file
- `kits`: folders of samples, and the drum kit that is shipped
- `mistakes`: what is said of sources by mistake
- `known`: the account: what is known of each source
- `alignment`: a score moved to the clock of a recording
"""
