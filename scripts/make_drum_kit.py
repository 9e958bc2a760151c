#!/usr/bin/env python3
"""Render the drum kit that the package ships: one-shots of General MIDI drums, as Ogg Vorbis.

make_drum_kit.py SOUNDFONT [OUT]     needs the program `fluidsynth`

SOUNDFONT is FluidR3_GM.sf2 (MIT licence; Debian: fluid-soundfont-gm). OUT (default: the kit of this
package) gets a folder for each source, in it a file for each of its sounds: KIT-KEY.ogg, mono.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
RATE = 44100
SECONDS = {"kick": 0.5, "snare": 0.5, "hats": 0.5, "toms": 0.7, "cymbals": 1.2}
QUALITY = 0.6  # of Vorbis: 0 is the best
KITS = {"standard": 0, "room": 8, "power": 16, "electronic": 24, "tr808": 25, "jazz": 32}
SOUNDS = {
    "kick": [
        ("standard", 36), ("standard", 35), ("power", 36), ("electronic", 36), ("tr808", 36),
        ("jazz", 36),
    ],
    "snare": [
        ("standard", 38), ("standard", 40), ("power", 38), ("electronic", 38), ("tr808", 38),
        ("jazz", 38),
    ],
    "hats": [
        ("standard", 42), ("standard", 44), ("standard", 46), ("tr808", 42), ("tr808", 46),
    ],
    "toms": [("standard", 41), ("standard", 45), ("standard", 48), ("room", 45), ("tr808", 45)],
    "cymbals": [("standard", 49), ("standard", 51), ("standard", 53), ("standard", 55)],
}  # fmt: skip


def midi(program: int, key: int) -> bytes:
    """Return a MIDI file of one stroke on the channel of drums, and two seconds of nothing."""
    events = bytes([0x00, 0xC9, program, 0x00, 0x99, key, 100])
    events += bytes([0x8F, 0x00, 0x89, key, 0, 0x00, 0xFF, 0x2F, 0x00])
    track = b"MTrk" + len(events).to_bytes(4, "big") + events
    return b"MThd" + (6).to_bytes(4, "big") + bytes([0, 0, 0, 1, 0x03, 0xC0]) + track


def render(soundfont: str, program: int, key: int) -> np.ndarray:
    """Return one stroke, mono, from its attack on, peak 0.7."""
    with tempfile.TemporaryDirectory() as folder:
        song, sound = Path(folder, "a.mid"), Path(folder, "a.wav")
        song.write_bytes(midi(program, key))
        subprocess.run(
            ["fluidsynth", "-ni", "-R", "0", "-C", "0", "-g", "0.5", "-r", str(RATE),
             "-F", str(sound), soundfont, str(song)],
            check=True, capture_output=True,
        )  # fmt: skip
        samples = soundfile.read(sound, always_2d=True)[0].mean(axis=1)
    first = int(np.flatnonzero(np.abs(samples) > 1e-3 * np.abs(samples).max())[0])
    samples = samples[max(0, first - 64) :]
    return 0.7 * samples / np.abs(samples).max()


def main(soundfont: str, out: Path) -> None:
    """Render and write all."""
    for source, sounds in SOUNDS.items():
        (out / source).mkdir(parents=True, exist_ok=True)
        for kit, key in sounds:
            samples = render(soundfont, KITS[kit], key)[: int(SECONDS[source] * RATE)]
            samples[-2000:] *= np.linspace(1, 0, len(samples[-2000:]))
            path = out / source / f"{kit}-{key}.ogg"
            soundfile.write(
                path, samples, RATE, format="OGG", subtype="VORBIS", compression_level=QUALITY
            )
            print(f"{path.relative_to(out)}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    main(sys.argv[1], Path(*sys.argv[2:]) if sys.argv[2:] else ROOT / "audionmf/sources/kit")
