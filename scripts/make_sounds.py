#!/usr/bin/env python3
"""Make docs/sounds: what separating the sample recordings by example gives, as MP3 for every browser.

make_sounds.py AUDIO_SAMPLES_FOLDER OUTPUT_FOLDER
"""

import sys
from pathlib import Path

import audionmf


def main(samples: Path, output: Path) -> None:
    """Write TRACK/mixture.mp3, before, and a file for each stem, after."""
    for track in ("trio", "drums"):
        examples = {path.stem: path for path in sorted((samples / track / "examples").iterdir())}
        mixture = samples / track / "mixture.wav"
        audionmf.separate(mixture, examples=examples).save(output / track, extension="mp3")
        audionmf.write(output / track / "mixture.mp3", audionmf.read(mixture))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
