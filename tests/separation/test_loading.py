"""What a separation loads: packages that take longer to load than a clip to separate are left out."""

import subprocess
import sys

import numpy as np
import soundfile

PROGRAM = """
import sys, audionmf
audionmf.separate(sys.argv[1], n_sources=2).save(sys.argv[2])
print(*[name for name in sys.argv[3:] if name in sys.modules])
"""
SLOW = ("numba", "scipy.fft", "scipy.ndimage", "scipy.special", "scipy.signal", "librosa")


def test_blind_separation_loads_no_package_that_takes_long(tmp_path):
    time = np.arange(8000) / 8000
    tones = [(np.sin(6.28 * f * time) * (time % 0.5 < 0.2)) for f in (300, 320, 1900)]
    soundfile.write(tmp_path / "mix.wav", np.stack([tones[0] + tones[2], tones[1]], 1) / 3, 8000)
    for _ in range(2):  # the first may be the one that compiles
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, tmp_path / "mix.wav", tmp_path / "out", *SLOW],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        if not done.stdout.strip():
            break
    assert done.stdout.strip() == ""
