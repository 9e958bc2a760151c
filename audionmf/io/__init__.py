"""What touches the disk or a pipe: audio in and out, whole files, headers, archives, locks.

A file imports only from those that are named before it:

- `files`: files that are whole or not there, names that are safe
- `control`: files that somebody else may have put there, opened as nothing but files
- `chunks`: headers of audio files, walked chunk by chunk
- `headers`: what headers of older audio files claim of their length
- `markers`: markers of WAV and of AIFF, the one form from the other
- `tags`: what a recording says of itself beside its samples
- `joined`: streams one after the other in a file
- `earlier`: what earlier runs left in a folder
- `foreign`: audio and video that libsndfile does not read, and folders searched for audio
- `spool`: standard input as a file
- `ffmpeg`: what libsndfile does not read, read
- `broken`: recordings whose end is missing
- `formats`: what files can be written
- `decode`: samples out of a file, and the checks on them
- `encode`: samples for libsndfile to write
- `audio`: recordings in and out
- `parts`: recordings from a start to an end
- `archive`: `.npz` archives from strangers
- `signals`: those that end a run
- `lock`: one run in a folder at a time
- `private`: a folder for compiled code that nobody else can put code into
- `executable`: machine code in memory, and what the processor says of itself
- `kept`: machine code, for the processor it was made for
"""
