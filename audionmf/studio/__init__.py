"""The studio: a local page to hear, group, refine and export what a factorisation found.

Needs Starlette and uvicorn: ``pip install audionmf[studio]``. The server answers to this machine
alone, and the page loads nothing from elsewhere.

What is heard is what is exported. Components are mixed in the browser while they are being grouped,
so they are linear: with a mask exponent of 1, and without places in the stereo image, the stem of a
source is the sum of the stems of its components. Whole sources are rendered once, as the command
line renders them; a source that is made of several is the sum of their stems.

A file imports only from those that are named before it:

- `guard`: who may ask: host, origin, token, cookie; the headers of every answer
- `sample`: a few seconds of music, computed
- `views`: spectrogram, waveform and components as small arrays for the page to draw
- `work`: one job at a time in a thread, its progress, how to stop it
- `recordings`: recordings that were opened
- `given`: banks, scores, models and projects that were given
- `ways`: what is said of the sources, as an analysis takes it, and as it is written down
- `project`: what was made of a recording, as one file
- `stems`: stems that were rendered once
- `loudness`: how loud parts are, alone and in any sum
- `models`: decompositions into parts, and how they were asked for
- `sources`: groups of components that have a name
- `scores`: notes that were written in the page, as a score
- `marks`: marks in the spectrogram
- `arrangement`: sources, marks and gains, and the steps that led there
- `session`: all of these for one page, with versions
- `asking`: what a page asks for
- `opening`: going on with a project or a model
- `deliver`: stems, banks and models as files, the command line and the script that make them
- `several`: a queue of recordings that are taken apart in one way
- `mixing`: a remix, and the command line that makes the same
- `keeping`: what is worked on, kept on the disk from second to second, and found again
- `app`: requests become calls of a session; nothing else
- `server`: binds the port, makes the token and the temporary folder, runs until the end
"""

from __future__ import annotations

from audionmf.studio.server import serve

__all__ = ["serve"]
