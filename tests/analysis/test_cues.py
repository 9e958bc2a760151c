"""Each cue on its own: what differs in one thing alone is told apart by that cue."""

import dataclasses

import numpy as np
import pytest

from audionmf.analysis import cues as grouping
from audionmf.analysis import likeness
from audionmf.analysis.cues import (
    CUES,
    component_sound,
    component_strokes,
    cues_in_words,
    group_by_cues,
    odds_by_cues,
    parse_cues,
    places_by_cues,
    shared_by_cues,
)
from audionmf.errors import ParameterError
from audionmf.sources.templates import Templates
from audionmf.spectra.frames import Frames
from audionmf.spectra.stft import STFT

N_FFT, RATE, N = 1024, 16000, 6
FREQUENCIES = np.arange(N_FFT // 2 + 1) * RATE / N_FFT


def spectrum(pitch, slope):
    """Return partials of a pitch in Hz, that fall by `slope` dB an octave."""
    partials = np.arange(pitch, RATE / 2, pitch)
    levels = (partials / 200) ** (slope / 6)
    W = np.exp(-0.5 * ((FREQUENCIES[:, None] - partials) / 12) ** 2) @ levels + 1e-6
    return W / W.sum()


def sound(*, slopes=(-6,) * N, pitches=(220.0,) * N, right=(0.5,) * N, phases=(0.0,) * N, held=0):
    """Six components; those with odd numbers may differ from the others in one thing."""
    W = np.stack([spectrum(*each) for each in zip(pitches, slopes, strict=True)], axis=1)
    templates = Templates(W.astype(np.float32), tuple("abcdef"), STFT(N_FFT, 256), RATE)
    H = np.tile(np.exp(-np.arange(40) / 4), (N, 5)).astype(np.float32)
    if held:
        H[1::2] = np.tile(np.pad(np.ones(60), 20), 2)
    places = np.empty((N, 2, 2), complex)
    for k, (share, phase) in enumerate(zip(right, phases, strict=True)):
        cross = np.sqrt(share * (1 - share)) * np.exp(1j * phase)
        places[k] = [[1 - share, cross], [cross.conjugate(), share]]
    return component_sound(templates, H, places, np.ones(N))


def test_what_components_sound_like_is_found_once_for_all_cues_that_are_told_of(monkeypatch):
    found = sound(**{name: way for each in WAYS.values() for name, way in each.items()})
    made = []

    class Counted(likeness.Pairs):
        def __init__(self, sound):
            made.append(sound)
            super().__init__(sound)

    monkeypatch.setattr(likeness, "Pairs", Counted)
    monkeypatch.setattr(grouping, "Pairs", Counted)
    _, _, shares = group_by_cues(found, 2)
    assert set(shares) == set(CUES)
    assert len(made) == 2  # for the sources, and by the loudest components for what told them apart


EXPECTED = {"source1": (0, 2, 4), "source2": (1, 3, 5)}
WAYS = {
    "place": {"right": (0.2, 0.8) * 3},
    "timbre": {"slopes": (-18, 0) * 3},
    "pitch": {"pitches": (110.0, 930.0) * 3},
    "course": {"held": 1},
}


@pytest.mark.parametrize("cue", CUES)
def test_a_cue_tells_apart_what_differs_in_it(cue):
    found = sound(**WAYS[cue])
    assert group_by_cues(found, 2, [cue])[0] == EXPECTED
    assert group_by_cues(found, 2)[0] == EXPECTED


@pytest.mark.parametrize("cue", ["place", "course"])
def test_no_other_cue_tells_it_apart(cue):
    others = [name for name in CUES if name != cue]
    assert group_by_cues(sound(**WAYS[cue]), 2, others)[0] != EXPECTED


@pytest.mark.parametrize("cue", ["place", "timbre", "course"])
def test_it_says_which_cue_told_the_sources_apart(cue):
    shares = group_by_cues(sound(**WAYS[cue]), 2)[2]
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=shares.get) == cue
    assert cues_in_words(shares).startswith(f"told apart by {cue} ")


def test_one_channel_has_no_place_to_tell_apart_by():
    found = dataclasses.replace(sound(slopes=(-18, 0) * 3), places=None)
    assert sorted(group_by_cues(found, 2)[2]) == ["course", "pitch", "timbre"]


def test_of_many_components_the_loudest_say_what_told_them_apart(monkeypatch):
    quiet = np.array([1.0, 1, 1, 1, 0, 0])
    found = dataclasses.replace(sound(**WAYS["timbre"]), energies=quiet)
    few = group_by_cues(found.of(np.arange(4)), 2)[2]
    monkeypatch.setattr(grouping, "_MOST_TOLD", 4)
    asked = []

    class Listening(grouping.Pairs):
        def __init__(self, told):
            asked.append(told)
            super().__init__(told)

    monkeypatch.setattr(grouping, "Pairs", Listening)
    assert group_by_cues(found, 2)[2] == pytest.approx(few, abs=0.02)
    [loudest] = asked
    assert len(loudest.energies) == 4
    assert loudest.energies.all()


def test_nothing_told_apart_what_is_alike_or_one():
    assert group_by_cues(sound(), 2)[2] == {}
    assert group_by_cues(sound(**WAYS["pitch"]), 1)[2] == {}


def test_a_difference_in_phase_tells_places_apart_too():
    groups, *_ = group_by_cues(sound(phases=(0.6, -0.6) * 3), 2, ["place"])
    assert groups == EXPECTED


def test_places_that_hardly_differ_weigh_little():
    noise = 0.5 + 1e-4 * np.random.default_rng(0).normal(size=N)
    found = sound(right=tuple(noise), slopes=(-18, 0) * 3)
    assert group_by_cues(found, 2, ["place", "timbre"])[0] == EXPECTED


def test_the_number_is_chosen_where_it_is_not_given():
    groups, choice, _ = group_by_cues(sound(slopes=(-18, 0) * 3))
    assert (len(groups), choice.n_sources) == (2, 2)
    assert group_by_cues(sound(), 1)[1] is None


def test_components_count_by_the_root_of_their_energies():
    found = dataclasses.replace(sound(), energies=np.array([16.0, 9, 4, 1, 0, 0]))
    weights = places_by_cues(np.zeros((6, 6)), found.energies)[1]
    np.testing.assert_allclose(weights, [0.4, 0.3, 0.2, 0.1, 1e-9, 1e-9])


def test_silent_components_and_one_channel_have_groups_too():
    W = np.stack([spectrum(110, -6), spectrum(880, -6)], axis=1).astype(np.float32)
    templates = Templates(W, ("a", "b"), STFT(N_FFT, 256), RATE)
    found = component_sound(templates, np.zeros((2, 5), np.float32), None, np.zeros(2))
    assert len(group_by_cues(found, 2)[0]) == 2
    assert len(group_by_cues(found, 2, ["place"])[0]) == 2  # nothing to go by


@pytest.mark.parametrize("n_sources", [0, 7])
def test_a_number_that_cannot_be_is_refused(n_sources):
    with pytest.raises(ParameterError, match="components"):
        group_by_cues(sound(), n_sources)


def test_names_of_cues_are_read_and_checked():
    assert parse_cues("pitch, place,pitch") == ("pitch", "place")
    for text in ("colour", "", ",", "place,colour"):
        with pytest.raises(ParameterError, match="the cues are place, timbre, pitch, course"):
            parse_cues(text)


def clicks_and_tone():
    """Return frames, W and H of clicks, of a tone, and of both together."""
    stft, n = STFT(N_FFT, 256), 200
    click = np.zeros(n, np.float32)
    click[10::40] = 1
    tone = np.zeros(len(FREQUENCIES), np.float32)
    tone[40] = 1
    flat = np.full(len(FREQUENCIES), 0.3, np.float32)
    W = np.stack([flat, tone, flat + tone], axis=1)
    H = np.stack([click, np.ones(n, np.float32), np.roll(click, 5)])
    V = np.asfortranarray(W @ H)
    return Frames(V, None, 1, 256 * n), W, H, stft


def test_strokes_are_told_from_tones():
    frames, W, H, stft = clicks_and_tone()
    strokes, tones, both = component_strokes(frames, W, H, stft, RATE)
    assert strokes > 0.95
    assert tones < 0.05
    assert 0.2 < both < strokes
    whole = component_strokes(frames, W, H, stft, RATE)
    blocks = component_strokes(
        dataclasses.replace(frames, V=np.asfortranarray(np.tile(frames.V, (1, 5)))),
        W, np.tile(H, (1, 5)), stft, RATE,
    )  # fmt: skip
    assert blocks == pytest.approx(whole, abs=0.01)


def test_frames_that_are_no_neighbours_tell_nothing_of_strokes():
    frames, W, H, stft = clicks_and_tone()
    assert component_strokes(dataclasses.replace(frames, step=2), W, H, stft, RATE) is None


def test_a_stroke_and_a_tone_are_of_two_sources_where_there_is_much_of_both():
    plain = sound()
    struck = dataclasses.replace(plain, struck=np.array([0.9, 0.05] * 3))
    told = odds_by_cues(struck) - odds_by_cues(plain)
    assert told[0, 1] < -0.5 < 0 < told[0, 2]
    assert group_by_cues(struck, 2)[0] == EXPECTED
    few = dataclasses.replace(plain, struck=np.array([0.9, *[0.05] * 5]))
    some = odds_by_cues(few) - odds_by_cues(plain)
    assert abs(some[0, 1]) < abs(told[0, 1]) / 2
    others = [cue for cue in CUES if cue != "course"]
    assert np.array_equal(odds_by_cues(struck, others), odds_by_cues(plain, others))


def test_groups_are_those_that_have_most_of_a_component():
    found, odd = sound(), np.arange(N) % 2
    alike = np.where(odd[:, None] == odd, 5.0, -5.0)
    wrong = {"source1": (0, 2, 3, 4), "source2": (1, 5)}
    groups, shares = shared_by_cues(alike, found.energies, wrong)
    assert groups == EXPECTED
    assert shares.argmax(axis=0).tolist() == [0, 1, 0, 1, 0, 1]
    one = {"all": tuple(range(N))}
    assert shared_by_cues(alike, found.energies, one) == (one, None)


def test_places_are_the_same_in_any_number_of_threads():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2, 300, 33)) + 1j * rng.normal(size=(2, 300, 33))
    X = X.astype(np.complex64).swapaxes(1, 2)
    frames = Frames(np.abs(X).sum(axis=0), X, 1, 300)
    W, H = rng.random((33, 5)).astype(np.float32), rng.random((5, 300)).astype(np.float32)
    one, other = (grouping.component_places(frames, W, H, n_threads=n) for n in (1, 3))
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    share = W[:, :, None] * H / (W @ H)[:, None]
    left = np.einsum("fkt,ft->k", share, np.abs(X[0]) ** 2)
    np.testing.assert_allclose(one[0][:, 0, 0].real, left, rtol=1e-4)
