"""Which notes an example lacks is told; and only that."""

import numpy as np
import pytest

from audionmf import Audio, analyse
from audionmf.analysis.coverage import coverage
from audionmf.sources.templates import Templates
from audionmf.spectra.stft import STFT

RATE = 8000
N_FFT = 1024
FRAMES = STFT(N_FFT, 256)


def tone(key, n_samples=4000):
    t = np.arange(n_samples) / RATE
    hertz = 440 * 2 ** ((key - 69) / 12)
    return sum(np.sin(2 * np.pi * k * hertz * t) / k for k in (1, 2, 3, 4)).astype(np.float32)


def spectrum(key):
    return np.abs(FRAMES.forward(tone(key)[None])[0])[:, 8]


def told(keys, copied, played, names=None):
    W = np.column_stack([spectrum(key) for key in keys]).astype(np.float32)
    W /= W.sum(axis=0)
    bank = Templates(W, tuple(names or ["a"] * len(keys)), FRAMES, RATE)
    H = np.array(played, np.float32)[:, None]
    return coverage(bank, H, np.array(copied))


def test_the_share_and_the_notes_that_only_copies_play_are_told():
    (line,) = told([60, 64, 65, 66, 67], [False, True, True, True, True], [5, 1, 1, 1, 2])
    assert line == (
        "'a': the example holds 50% of what it plays here, copies at other pitches the rest; "
        "lacking: E4 to G4"
    )


def test_a_note_that_frames_play_as_well_is_not_lacking():
    (line,) = told([60, 60, 72], [False, True, True], [4, 4, 4])
    assert "lacking: C5" in line
    assert "C4" not in line


def test_few_copies_are_nothing_to_speak_of():
    assert told([60, 67], [False, True], [9, 1]) == ()
    assert told([60, 67], [False, False], [1, 1]) == ()
    assert told([60, 67], [False, True], [0, 0]) == ()


def test_each_source_is_told_of_for_itself():
    lines = told([60, 67, 60, 67], [False, True, False, True], [1, 1, 1, 0], ["a", "a", "b", "b"])
    assert len(lines) == 1
    assert lines[0].startswith("'a'")


def test_what_has_no_pitch_lacks_no_note():
    noise = np.random.default_rng(0).random((FRAMES.n_bins, 2)).astype(np.float32)
    bank = Templates(noise, ("a", "a"), FRAMES, RATE)
    (line,) = coverage(bank, np.ones((2, 1), np.float32), np.array([False, True]))
    assert "lacking" not in line


@pytest.mark.parametrize("lacks", [True, False])
def test_an_example_that_lacks_a_note_is_told_of(lacks):
    low, high = [48, 50], [79, 81, 83, 84]
    mixture = np.concatenate([tone(k) for k in (48, 55, 50, 55)])
    mixture = mixture + np.concatenate([tone(k) for k in high])
    example = np.concatenate([tone(k) for k in ([*low] if lacks else [*low, 55])])
    examples = {"low": example, "high": np.concatenate([tone(k) for k in high])}
    found = analyse(
        Audio(mixture[None], RATE),
        examples={name: Audio(x[None], RATE) for name, x in examples.items()},
        n_fft=N_FFT, n_threads=1, model="frames",
    )  # fmt: skip
    lines = [line for line in found.remarks if line.startswith("'low'")]
    assert ("G3" in "".join(lines)) == lacks
    assert not any(line.startswith("'high'") for line in found.remarks)
