"""Struck sounds with a score: patterns whose strokes are written, but for some."""

import dataclasses

import numpy as np
import pytest
from conftest import RATE
from scores import midi, strokes, track

import audionmf
from audionmf.analysis import scored_strokes
from audionmf.analysis.learning import at_rate
from audionmf.evaluate.measures import si_sdr
from audionmf.io.audio import Audio, open_source
from audionmf.sources.kits import samples_of_key

SECONDS = 4.0
N = round(SECONDS * RATE)
KICKS = np.arange(0.2, 3.7, 0.75)
HATS = np.arange(0.2, 3.7, 0.375)


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


def score(tmp_path, kicks=KICKS, hats=HATS, turned=False):
    parts = {"kick": [(t, t + 0.1, 36) for t in kicks], "hat": [(t, t + 0.1, 42) for t in hats]}
    parts = dict(reversed(parts.items())) if turned else parts
    path = tmp_path / "drums.mid"
    path.write_bytes(midi(*(track(strokes(notes, 9), name) for name, notes in parts.items())))
    return path


def decibels(found):
    return {n: float(si_sdr(STEMS[n][None], found.sources[n])) for n in STEMS}


def test_strokes_of_a_score_are_patterns(tmp_path):
    found = audionmf.separate(MIXTURE, midi=score(tmp_path), quality="fast")
    assert found.decomposition.patterns is not None
    assert found.decomposition.keys == (36, 42)
    assert min(decibels(found).values()) > 10


def test_a_stroke_that_the_score_lacks_is_still_heard(tmp_path):
    path = score(tmp_path, kicks=np.delete(KICKS, 3))
    found = audionmf.separate(MIXTURE, midi=path, quality="fast")
    first = round(KICKS[3] * RATE)
    there = slice(first, first + round(0.2 * RATE))
    heard = np.sum(found.sources["kick"][0, there] ** 2) / np.sum(STEMS["kick"][there] ** 2)
    assert heard > 0.5


def test_drums_that_are_always_struck_together_start_from_the_shipped_kit(tmp_path, monkeypatch):
    """What follows the strokes of one is what follows those of the other."""
    keys = {"kick": 36, "hat": 42}
    path = score(tmp_path, hats=KICKS)
    sounds = {name: sample(samples_of_key(key)[0]) for name, key in keys.items()}
    stems = {name: played(KICKS, lambda _, name=name: sounds[name]) for name in keys}
    mixture = Audio(sum(stems.values()), RATE)

    def heard():
        found = audionmf.separate(mixture, midi=path, quality="fast")
        return np.mean([float(si_sdr(stems[n][None], found.sources[n])) for n in stems])

    strokes_alone, found_so = scored_strokes._heard, []
    monkeypatch.setattr(
        scored_strokes, "_heard", lambda *a: found_so.append(a) or strokes_alone(*a)
    )
    with_kit = heard()
    assert not found_so  # the kit has both
    monkeypatch.setattr(scored_strokes, "samples_of_key", lambda _: [])
    assert with_kit > heard() + 3
    assert len(found_so) == 2


def sample(file):
    return np.concatenate(list(at_rate(open_source(file), RATE).blocks()), axis=1).mean(axis=0)


def test_of_a_drum_that_the_kit_lacks_its_strokes_are_heard(tmp_path):
    assert samples_of_key(56) == []  # a cowbell
    assert [file[-6:-4] for file in samples_of_key(35)] == ["35"]
    assert {file[-6:-4] for file in samples_of_key(57)} == {"49", "51", "53", "55"}
    bell = {"kick": [(t, t + 0.1, 36) for t in KICKS], "hat": [(t, t + 0.1, 56) for t in HATS]}
    path = tmp_path / "drums.mid"
    path.write_bytes(midi(*(track(strokes(notes, 9), name) for name, notes in bell.items())))
    assert min(decibels(audionmf.separate(MIXTURE, midi=path, quality="fast")).values()) > 10


def test_an_example_beside_the_score_teaches_its_own_drum(tmp_path):
    """Every kick falls on a hat, so that the score alone cannot tell what is whose."""
    path = score(tmp_path, hats=KICKS)
    both = Audio(STEMS["kick"] + played(KICKS, hat), RATE)
    examples = {"kick": Audio(played([0.1, 1.1], lambda _: kick()), RATE)}
    examples["hat"] = Audio(played([0.1, 1.1, 2.1], lambda i: hat(100 + i)), RATE)
    alone, taught = (
        audionmf.separate(both, midi=path, examples=given, quality="fast").sources["kick"]
        for given in ({}, examples)
    )
    truth = STEMS["kick"][None]
    assert si_sdr(truth, taught) > si_sdr(truth, alone) + 3


@pytest.fixture(name="heard")
def patterns_without_the_score(monkeypatch):
    """Say how much patterns without the score leave, as a share of what those of the score do."""
    asked, said = [], {"share": 1.0}
    real, mixed = scored_strokes.patterns_heard, scored_strokes._with_heard

    def left(V, *others):
        model = real(V, *others)
        asked.append(model)
        return dataclasses.replace(model, divergence=np.array([said["share"] * said["score"]]))

    def know(found, *others):
        said["score"] = found.divergence[-1]
        return mixed(found, *others)

    monkeypatch.setattr(scored_strokes, "patterns_heard", left)
    monkeypatch.setattr(scored_strokes, "_with_heard", know)
    return asked, said


def test_patterns_that_know_no_score_are_averaged_with_those_of_its_parts(tmp_path, heard):
    path = score(tmp_path, turned=True)
    separated = audionmf.separate(MIXTURE, midi=path)
    assert min(decibels(separated).values()) > 10
    assert separated.decomposition.keys == (42, 36, -1, -1)
    H = separated.decomposition.activations
    alone = audionmf.separate(MIXTURE, midi=path, quality="fast").decomposition.activations
    for one, other, full in zip(H[:2], H[2:], alone, strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.4  # the same drum
        assert 0.25 < one.sum() / full.sum() < 0.42  # a third of the model is the score's


@pytest.mark.parametrize(("share", "n"), [(1.19, 4), (1.21, 2)])
def test_they_count_where_they_explain_the_mixture_nearly_as_well(tmp_path, heard, share, n):
    heard[1]["share"] = share
    assert audionmf.separate(MIXTURE, midi=score(tmp_path)).decomposition.n_components == n


def test_they_do_not_count_where_they_are_struck_at_other_times(tmp_path, heard, monkeypatch):
    real = scored_strokes.patterns_heard

    def late(*given):
        model = real(*given)
        return dataclasses.replace(model, activations=np.roll(model.activations, 9, axis=1))

    monkeypatch.setattr(scored_strokes, "patterns_heard", late)
    assert audionmf.separate(MIXTURE, midi=score(tmp_path)).decomposition.n_components == 2
    assert len(heard[0]) == 1


def test_they_are_not_sought_in_haste_nor_beside_examples(tmp_path, heard):
    path = score(tmp_path)
    example = Audio(played([0.1, 1.1], lambda _: kick()), RATE)
    audionmf.separate(MIXTURE, midi=path, quality="fast")
    audionmf.separate(MIXTURE, midi=path, examples={"kick": example})
    assert not heard[0]


def test_threads_change_nothing(tmp_path, heard):
    one, many = (
        audionmf.separate(MIXTURE, midi=score(tmp_path), n_threads=n).sources["hat"] for n in (1, 3)
    )
    np.testing.assert_array_equal(one, many)
