"""What touches the disk or a pipe: audio in and out, whole files, headers, archives, locks.

A file imports only from those that are named before it:

- `files`: files that are whole or not there, names that are safe
- `chunks`: headers of audio files, walked chunk by chunk
- `spool`: standard input as a file
- `ffmpeg`: what libsndfile cannot read
- `formats`: what files can be written
- `audio`: recordings in and out
- `parts`: recordings from a start to an end
- `archive`: `.npz` archives from strangers
- `rows`: rows of a matrix on disk
- `lock`: one run in a folder at a time
"""
