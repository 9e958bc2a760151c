"""pYIN is that of librosa, and nothing that takes seconds to load is needed to hear notes."""

import sys

import numpy as np
import pytest
from conftest import RATE, tone

from audionmf.io.audio import Audio
from audionmf.notes.hearing import hear
from audionmf.notes.pyin import pyin

NOISE = np.random.default_rng(0).normal(0, 0.1, RATE)
SIGNALS = {
    "glide": np.sin(2 * np.pi * np.cumsum(np.geomspace(60, 1500, 3 * RATE)) / RATE),
    "leaps": np.concatenate([tone(hertz)[: RATE // 3] for hertz in (110, 1568, 262)]),
    "tone in noise": NOISE + np.concatenate([np.zeros(RATE // 2), tone(262)])[:RATE],
    "noise and silence": np.concatenate([NOISE[:3000], np.zeros(5000), NOISE[:2000]]),
    "silence": np.zeros(4000),
    "short": NOISE[:700],
}


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.usefixtures("plain_librosa")
@pytest.mark.parametrize(("hop", "bins"), [(160, 5), (441, 10)])
def test_it_is_that_of_librosa(name, hop, bins):
    import librosa

    samples = SIGNALS[name]
    hertz, voiced, sure = librosa.pyin(
        samples, fmin=50.0, fmax=1800.0, sr=RATE, frame_length=1024, hop_length=hop,
        resolution=1 / bins, fill_na=None,
    )  # fmt: skip
    found = pyin(samples, 50.0, 1800.0, RATE, window=1024, hop=hop, bins=bins)
    assert np.mean(np.isclose(found[0], hertz)) > 0.98  # of two alike either may be taken
    assert (found[1] == voiced).all()
    np.testing.assert_allclose(found[2], sure, atol=1e-5)


def test_notes_are_heard_without_what_takes_seconds_to_load(monkeypatch):
    for name in ("librosa", "scipy.signal", "scipy.stats"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not there
    melody = np.concatenate([tone(hertz) for hertz in (262, 330, 392)])
    heard = hear(Audio(melody[None].astype(np.float32), RATE))
    assert [note.key for note in heard.notes] == [60, 64, 67]
