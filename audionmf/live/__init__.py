"""A signal that is still being played.

A file imports only from those that are named before it:

- `separator`: stems with a delay of a window
- `denoiser`: a steady noise made softer
- `streams`: pipes and files for it
"""

from audionmf.live.denoiser import LiveDenoiser
from audionmf.live.separator import LiveSeparator, stream
from audionmf.live.streams import (
    SAMPLE_FORMATS,
    PCMFormat,
    PCMStream,
    StreamedFiles,
    stream_to_files,
    stream_to_pipe,
)

__all__ = [
    "SAMPLE_FORMATS",
    "LiveDenoiser",
    "LiveSeparator",
    "PCMFormat",
    "PCMStream",
    "StreamedFiles",
    "stream",
    "stream_to_files",
    "stream_to_pipe",
]
