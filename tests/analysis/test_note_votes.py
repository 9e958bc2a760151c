"""Notes and noises of the mixture, and their say in the masks."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import audionmf
from audionmf import analyse, render
from audionmf.analysis import component_votes, exemplars, note_votes
from audionmf.analysis.component_votes import votes
from audionmf.evaluate.measures import si_sdr
from audionmf.io.audio import Audio
from audionmf.rendering.decomposition import Decomposition
from audionmf.spectra.frames import pooled_magnitude

SAMPLES = Path(__file__).parents[2] / "audio_samples" / "trio"
RATE = 16_000
OPTIONS = {"n_fft": 1024, "n_threads": 1, "adapt_iter": 6, "model": "frames"}


def tone(pitches, seconds, partials, rng):
    """Return notes one after the other, each with its own loudness, tapered at both ends."""
    t = np.arange(round(seconds * RATE)) / RATE
    window = np.minimum(1, 40 * np.minimum(t, seconds - t))
    sounds = [
        rng.uniform(0.6, 1) * sum(a * np.sin(2 * np.pi * f * k * t) for k, a in partials.items())
        for f in pitches
    ]
    return np.concatenate([sound * window for sound in sounds]).astype(np.float32)


def scale(*semitones):
    return [220 * 2 ** (n / 12) for n in semitones]


HOLLOW, FULL = {1: 1.0, 3: 0.5, 5: 0.3, 7: 0.2}, {k: 1 / k for k in range(1, 9)}


@pytest.fixture(scope="module")
def duet():
    """Two instruments, a hollow and a full one, whose examples play other notes."""
    rng = np.random.default_rng(3)
    stems = {
        "hollow": tone(scale(7, 3, 0, 5), 0.3, HOLLOW, rng),
        "full": tone(scale(12, 8), 0.6, FULL, rng),
    }
    examples = {
        "hollow": Audio(tone(scale(10, 14), 0.6, HOLLOW, rng)[None], RATE),
        "full": Audio(tone(scale(3, 5), 0.6, FULL, rng)[None], RATE),
    }
    return stems, examples


def separated(duet, **options):
    stems, examples = duet
    return analyse(Audio(sum(stems.values())[None], RATE), examples=examples, **OPTIONS | options)


@pytest.fixture(scope="module")
def found_duet(duet):
    return separated(duet)


def analysed_trio():
    """Six seconds of three instruments, whose examples play other notes."""
    mixture = audionmf.read(SAMPLES / "mixture.wav")
    first = Audio(mixture.samples[:, : 6 * mixture.sample_rate], mixture.sample_rate)
    examples = {path.stem: str(path) for path in (SAMPLES / "examples").iterdir()}
    return first, analyse(first, examples=examples, n_threads=1)


@pytest.fixture(scope="module")
def trio():
    return analysed_trio()


def quality(mixture, found):
    true = {path.stem: audionmf.read(path).samples for path in (SAMPLES / "stems").iterdir()}
    stems = render(mixture, found).sources
    return np.mean([si_sdr(true[n][:, : mixture.n_samples], stem) for n, stem in stems.items()])


def gained(mixture, found):
    without = dataclasses.replace(found.voters, then=None)
    return quality(mixture, found) - quality(mixture, dataclasses.replace(found, voters=without))


def test_notes_improve_what_examples_of_other_notes_give(trio):
    assert gained(*trio) > 0.1  # dB


def test_they_improve_it_more_where_examples_bring_notes_that_are_not_played(monkeypatch):
    """Neighbours of a frame that count in full, and few copies, hold on to the notes of the example."""
    monkeypatch.setattr(exemplars, "WEIGHT", 1.0)
    monkeypatch.setattr(exemplars, "_UNCOVERED", 0.16)
    assert gained(*analysed_trio()) > 0.4  # dB


def test_shares_are_shares_and_kept_in_the_file(trio, tmp_path):
    mixture, found = trio
    votes = found.voters.then.votes
    np.testing.assert_allclose(votes.sum(axis=0), 1, rtol=1e-5)
    assert votes.min() >= 0
    loaded = Decomposition.load(found.save(tmp_path / "m.npz"))
    first, second = (render(mixture, each).sources for each in (found, loaded))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_what_the_first_voters_say_is_heard_where_notes_are_shared(found_duet, duet):
    V = pooled_magnitude(found_duet.templates.stft.forward(sum(duet[0].values())[None]))
    W = found_duet.voters.then.templates
    G = np.ones((W.shape[1], V.shape[1]), np.float32)
    silent = dataclasses.replace(found_duet, voters=None)
    first, second = (votes(one, V, one.activations, W, G, 1) for one in (found_duet, silent))
    assert np.abs(first - second).max() > 0.01


def test_they_have_no_say_where_examples_hold_what_is_played(duet, monkeypatch):
    monkeypatch.setattr(component_votes, "_VOTE_BELOW", 0.0)
    found = separated(duet)
    assert found.voters.votes is found.voters.then is None


def test_they_have_no_say_where_a_source_would_have_none_of_them(duet, monkeypatch):
    def all_to_one(alone, pull, n_steps):
        return np.eye(len(alone))[:, [0] * alone.shape[1]]

    monkeypatch.setattr(note_votes, "mean_field", all_to_one)
    found = separated(duet)
    assert found.voters.votes is not None
    assert found.voters.then is None


def test_threads_change_no_bit(duet, found_duet):
    three = separated(duet, n_threads=3)
    for name in ("templates", "votes"):
        first, second = (getattr(each.voters.then, name) for each in (found_duet, three))
        assert np.array_equal(first, second)


def test_notes_are_learnt_from_all_frames_not_from_sums_which_blur_strokes(duet, monkeypatch):
    fit, begun = note_votes.nmf.fit, []
    monkeypatch.setattr(note_votes.nmf, "fit", lambda *a, **o: begun.append(o) or fit(*a, **o))
    separated(duet)
    notes = [options for options in begun if "activations" in options]
    assert notes
    assert all(options["coarse"] is False for options in notes)


def test_the_share_of_the_work_is_told_and_it_can_be_stopped(duet):
    told = []
    separated(duet, progress=lambda stage, share: told.append((stage, share)))
    shares = [share for stage, share in told if stage == "notes"]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) > 5


def test_examples_say_whose_a_note_is(duet, found_duet, monkeypatch):
    monkeypatch.setattr(note_votes, "like_examples", lambda sound, known: 0.0)
    deaf = separated(duet)
    assert np.abs(found_duet.voters.then.votes - deaf.voters.then.votes).max() > 1e-3


def test_beside_a_rest_groups_of_notes_say_whose_a_note_is(duet, monkeypatch):
    """Not where every source has an example."""
    heard = []

    def saying(high):
        def asked(odds, weights, evidence):
            assert np.diagonal(odds).any()  # each note is most like itself
            heard.append(np.where(evidence > np.median(evidence), high, 1 - high))
            return heard[-1]

        return asked

    stems, examples = duet
    mixture, followed = Audio(sum(stems.values())[None], RATE), []
    for high in (0.9, 0.3):
        monkeypatch.setattr(note_votes, "likely_by_groups", saying(high))
        one = analyse(mixture, examples={"full": examples["full"]}, **OPTIONS)
        assert one.source_names == ["full", "rest"]
        followed.append(np.corrcoef(one.voters.then.votes[0], heard[0])[0, 1])
    assert len(heard) == 2
    assert followed[0] > followed[1] + 0.1
    assert separated(duet).voters.then is not None
    assert len(heard) == 2
