"""Struck sounds with a score: patterns whose strokes are written, but for some."""

import numpy as np
from conftest import RATE
from scores import midi, strokes, track

import audionmf
from audionmf.evaluate.measures import si_sdr
from audionmf.io.audio import Audio

SECONDS = 6.0
N = round(SECONDS * RATE)
KICKS = np.arange(0.2, 5.7, 0.75)
HATS = np.arange(0.2, 5.7, 0.375)


def kick():
    time = np.arange(round(0.35 * RATE)) / RATE
    return np.sin(2 * np.pi * (55 * time + 5 * np.exp(-30 * time))) * np.exp(-12 * time)


def hat(seed):
    time = np.arange(round(0.1 * RATE)) / RATE
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return 0.3 * np.diff(noise, prepend=0) * np.exp(-40 * time)


def played(times, sound):
    stem = np.zeros(N, np.float32)
    for i, at in enumerate(times):
        first, one = round(at * RATE), sound(i)
        stem[first : first + len(one)] += one[: N - first]
    return stem


STEMS = {"kick": played(KICKS, lambda _: kick()), "hat": played(HATS, hat)}
MIXTURE = Audio(sum(STEMS.values()), RATE)


def score(tmp_path, kicks=KICKS, hats=HATS):
    parts = {"kick": [(t, t + 0.1, 36) for t in kicks], "hat": [(t, t + 0.1, 42) for t in hats]}
    path = tmp_path / "drums.mid"
    path.write_bytes(midi(*(track(strokes(notes, 9), name) for name, notes in parts.items())))
    return path


def decibels(found):
    return {n: float(si_sdr(STEMS[n][None], found.sources[n])) for n in STEMS}


def test_strokes_of_a_score_are_patterns(tmp_path):
    found = audionmf.separate(MIXTURE, midi=score(tmp_path))
    assert found.decomposition.patterns is not None
    assert found.decomposition.keys == (36, 42)
    assert min(decibels(found).values()) > 10


def test_a_stroke_that_the_score_lacks_is_still_heard(tmp_path):
    found = audionmf.separate(MIXTURE, midi=score(tmp_path, kicks=np.delete(KICKS, 3)))
    first = round(KICKS[3] * RATE)
    there = slice(first, first + round(0.2 * RATE))
    heard = np.sum(found.sources["kick"][0, there] ** 2) / np.sum(STEMS["kick"][there] ** 2)
    assert heard > 0.5


def test_an_example_beside_the_score_teaches_its_own_drum(tmp_path):
    """Every kick falls on a hat, so that the score alone cannot tell what is whose."""
    path = score(tmp_path, hats=KICKS)
    both = Audio(STEMS["kick"] + played(KICKS, hat), RATE)
    examples = {"kick": Audio(played([0.1, 1.1], lambda _: kick()), RATE)}
    examples["hat"] = Audio(played([0.1, 1.1, 2.1], lambda i: hat(100 + i)), RATE)
    alone, taught = (
        audionmf.separate(both, midi=path, examples=given).sources["kick"]
        for given in ({}, examples)
    )
    truth = STEMS["kick"][None]
    assert si_sdr(truth, taught) > si_sdr(truth, alone) + 3


def test_threads_change_nothing(tmp_path):
    one, many = (
        audionmf.separate(MIXTURE, midi=score(tmp_path), n_threads=n).sources["hat"] for n in (1, 3)
    )
    np.testing.assert_array_equal(one, many)
