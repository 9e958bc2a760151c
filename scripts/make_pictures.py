#!/usr/bin/env python3
"""Draw the pictures of the README from the sample recordings.

make_pictures.py AUDIO_SAMPLES_FOLDER OUTPUT_FOLDER
"""

import sys
from pathlib import Path

import audionmf
from audionmf import plot
from audionmf.frontend import magnitudes


def main(samples: Path, output: Path) -> None:
    """Draw the decomposition of the drums: few components, each of which can be recognised."""
    output.mkdir(parents=True, exist_ok=True)
    recording = audionmf.read(samples / "drums" / "mixture.wav")
    found = audionmf.analyse(recording, components=True, n_components=6)
    stft, rate = found.templates.stft, recording.sample_rate
    picture = plot.decomposition(
        magnitudes(recording, stft), found.templates.templates, found.activations, stft, rate
    )
    plot.save(picture, output / "decomposition.png", dpi=80)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
