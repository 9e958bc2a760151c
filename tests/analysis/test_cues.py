"""Each cue on its own: what differs in one thing alone is told apart by that cue."""

import numpy as np
import pytest

from audionmf.analysis.cues import (
    CUES,
    component_cues,
    cues_in_words,
    group_by_cues,
    only_cues,
    parse_cues,
)
from audionmf.analysis.likeness import sound_features
from audionmf.errors import ParameterError
from audionmf.sources.templates import Templates
from audionmf.spectra.stft import STFT

N_FFT, RATE, N = 1024, 16000, 6
FREQUENCIES = np.arange(N_FFT // 2 + 1) * RATE / N_FFT


def spectrum(centre, width=400.0):
    W = np.exp(-0.5 * ((FREQUENCIES - centre) / width) ** 2) + 1e-4
    return W / W.sum()


def cues(
    *, centres=(1500.0,) * N, keys=(60.0,) * N, right=(0.5,) * N, phases=(0.0,) * N, falling=0
):
    """Six components; those with odd numbers may differ from the others in one thing."""
    W = np.stack([spectrum(c) for c in centres], axis=1).astype(np.float32)
    templates = Templates(W, tuple("abcdef"), STFT(N_FFT, 256), RATE)
    rise = np.concatenate([np.linspace(0, 1, 20), np.zeros(20)])
    H = np.tile(rise, (N, 3)).astype(np.float32)
    H[1::2] = H[1::2, ::-1] if falling else H[1::2]
    places = np.empty((N, 2, 2), complex)
    for k, (share, phase) in enumerate(zip(right, phases, strict=True)):
        cross = np.sqrt(share * (1 - share)) * np.exp(1j * phase)
        places[k] = [[1 - share, cross], [cross.conjugate(), share]]
    return component_cues(templates, H, places, np.array(keys, float))


WAYS = {
    "place": {"right": (0.2, 0.8) * 3},
    "timbre": {"centres": (700.0, 5000.0) * 3},
    "pitch": {"keys": (40.0, 80.0) * 3},
    "course": {"falling": 1},
}


@pytest.mark.parametrize("cue", CUES)
def test_a_cue_tells_apart_what_differs_in_it_and_no_other_cue_does(cue):
    found = cues(**WAYS[cue])
    expected = {"source1": (0, 2, 4), "source2": (1, 3, 5)}
    assert group_by_cues(only_cues(found, [cue]), np.ones(N), 2)[0] == expected
    assert group_by_cues(found, np.ones(N), 2)[0] == expected
    others = [name for name in CUES if name != cue]
    assert group_by_cues(only_cues(found, others), np.ones(N), 2)[0] != expected


@pytest.mark.parametrize("cue", CUES)
def test_it_says_which_cue_told_the_sources_apart(cue):
    shares = group_by_cues(cues(**WAYS[cue]), np.ones(N), 2)[2]
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=shares.get) == cue
    assert cues_in_words(shares).startswith(f"told apart by {cue} ")


def test_what_only_learnt_likeness_hears_tells_apart():
    W = np.tile(spectrum(1500)[:, None], N).astype(np.float32)
    slow = 1 - np.abs(np.linspace(-1, 1, 41))
    H = np.tile(slow, (N, 3)).astype(np.float32)  # as fast up as down, all of them
    H[1::2] = np.tile(np.pad(1 - np.abs(np.linspace(-1, 1, 11)), 15), 3)
    templates = Templates(W, tuple("abcdef"), STFT(N_FFT, 256), RATE)
    found = component_cues(templates, H, None, np.full(N, 60.0))
    expected = {"source1": (0, 2, 4), "source2": (1, 3, 5)}
    learnt = {n: [cue[0], (1.0, np.zeros((N, 1)))] for n, cue in found.items() if cue}
    assert group_by_cues(learnt, np.ones(N), 2)[0] == expected


def test_nothing_told_apart_what_is_alike_or_one():
    assert group_by_cues(cues(), np.ones(N), 2)[2] == {}
    assert group_by_cues(cues(**WAYS["pitch"]), np.ones(N), 1)[2] == {}


def test_a_difference_in_phase_tells_places_apart_too():
    found = cues(phases=(0.6, -0.6) * 3)
    groups, *_ = group_by_cues(only_cues(found, ["place"]), np.ones(N), 2)
    assert set(groups.values()) == {(0, 2, 4), (1, 3, 5)}


def test_places_that_hardly_differ_weigh_little():
    noise = 0.5 + 1e-4 * np.random.default_rng(0).normal(size=N)
    found = cues(right=tuple(noise), keys=(40.0, 80.0) * 3)
    groups, *_ = group_by_cues(only_cues(found, ["place", "pitch"]), np.ones(N), 2)
    assert set(groups.values()) == {(0, 2, 4), (1, 3, 5)}


def test_the_number_is_chosen_where_it_is_not_given():
    groups, choice, _ = group_by_cues(cues(keys=(40.0, 80.0) * 3), np.ones(N))
    assert (len(groups), choice.n_sources) == (2, 2)
    assert group_by_cues(cues(), np.ones(N), 1)[1] is None


def test_one_channel_has_no_place_and_what_has_no_pitch_goes_by_its_brightness():
    W = np.stack([spectrum(700), spectrum(5000)], axis=1).astype(np.float32)
    templates = Templates(W, ("a", "b"), STFT(N_FFT, 256), RATE)
    found = component_cues(templates, np.zeros((2, 5), np.float32), None, np.full(2, np.nan))
    assert found["place"] == []
    known, pitch = sound_features(templates, np.zeros((2, 5), np.float32), np.full(2, np.nan))[
        "pitch"
    ].T
    assert not known.any()
    assert pitch[0] < pitch[1]
    groups, *_ = group_by_cues(only_cues(found, ["place"]), np.zeros(2), 2)  # nothing to go by
    assert len(groups) == 2


@pytest.mark.parametrize("n_sources", [0, 7])
def test_a_number_that_cannot_be_is_refused(n_sources):
    with pytest.raises(ParameterError, match="components"):
        group_by_cues(cues(), np.ones(N), n_sources)


def test_names_of_cues_are_read_and_checked():
    assert parse_cues("pitch, place,pitch") == ("pitch", "place")
    for text in ("colour", "", ",", "place,colour"):
        with pytest.raises(ParameterError, match="the cues are place, timbre, pitch, course"):
            parse_cues(text)
