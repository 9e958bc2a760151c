"""How many components a sound needs."""

import json

import numpy as np
import pytest
from conftest import RATE, TINY_OPTIONS, sound

import audionmf
from audionmf.analysis.learning import choose_components, learn, learn_spectra
from audionmf.errors import AudioWarning, InvalidAudioError, ParameterError
from audionmf.io.audio import Audio
from audionmf.nmf.choose import choose
from audionmf.settings import Settings
from audionmf.spectra.frames import silent


def fit(frames, count):
    return audionmf.nmf.fit(frames, count, max_iter=100, n_threads=1).templates


def mixed(rank, n_bins=120, n_frames=400, seed=0, level=1e4):
    """Return Poisson counts of a sparse model of known rank."""
    rng = np.random.default_rng(seed)
    W = rng.random((n_bins, rank)) ** 4
    H = rng.random((rank, n_frames)) ** 4
    return rng.poisson(level * W @ H).astype(np.float32)


def notes(count, seconds=0.25, times=4):
    """Return `count` notes of random overtones, each played several times."""
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * RATE)) / RATE
    h = np.arange(1, 7)[:, None]
    made = [rng.random(6) @ np.sin(2 * np.pi * 200 * 2 ** (k / 4.3) * h * t) for k in range(count)]
    order = np.concatenate([rng.permutation(count) for _ in range(times)])
    return 0.1 * np.concatenate([made[k] for k in order]) + 1e-4 * rng.standard_normal(
        count * times * len(t)
    )


@pytest.mark.parametrize("rank", [4, 8, 16])
def test_the_rank_of_a_matrix_is_found_or_the_next(rank):
    choice = choose(mixed(rank), fit, 8, n_threads=1)
    assert rank <= choice.picked <= 2 * rank
    assert choice.candidates == tuple(4 << i for i in range(len(choice.candidates)))
    assert all(np.isfinite(choice.held_out))
    assert choice.reason


def test_the_pick_is_the_smallest_within_two_percent_of_the_best():
    choice = choose(mixed(8), fit, 8, n_threads=1)
    best = min(choice.held_out)
    near = [c for c, s in zip(choice.candidates, choice.held_out, strict=True) if s <= 1.02 * best]
    assert choice.picked == near[0]
    assert f"{choice.picked} components" in choice.to_text()


def test_the_scale_does_not_matter_and_the_matrix_is_not_modified():
    V = mixed(8)
    V.flags.writeable = False
    assert choose(V * np.float32(2**20), fit, 8).picked == choose(V, fit, 8).picked


def test_too_few_frames_are_refused():
    with pytest.raises(ParameterError, match="15 frames"):
        choose(mixed(4, n_frames=15), fit, 8)
    assert choose(mixed(4, n_frames=16), fit, 8).candidates[-1] <= 12


@pytest.mark.parametrize("dictionary", ["nmf", "frames"])
def test_learn_takes_what_is_chosen(dictionary):
    options = {"sample_rate": RATE, "n_fft": 512, "dictionary": dictionary, "max_iter": 30}
    choices = []
    bank = audionmf.learn(notes(6), "a", "auto", chosen=choices.append, **options)
    assert choices == [choose_components(notes(6), "a", **options)]
    assert bank.n_components == choices[0].picked


def test_more_different_notes_need_more_components():
    options = {"sample_rate": RATE, "n_fft": 512, "hop_length": 256, "dictionary": "nmf"}
    few, many = (choose_components(notes(n), "a", max_iter=30, **options).picked for n in (3, 12))
    assert few < many


def test_silence_and_what_is_short_are_refused():
    with pytest.raises(InvalidAudioError, match="silent"), pytest.warns(audionmf.AudioWarning):
        choose_components(np.zeros(8000), "a", sample_rate=RATE)
    with pytest.raises(ParameterError, match="too few"):
        choose_components(notes(1, 0.1, 1), "a", sample_rate=RATE, n_fft=256)


def test_the_command_prints_the_curve_the_pick_and_the_reason(run, tmp_path):
    path = sound(tmp_path / "a.wav", notes(4))
    arguments = ("--n-components", "auto", "--dictionary", "nmf", *TINY_OPTIONS)
    code, text, err = run("learn", path, "-o", tmp_path / "a.npz", *arguments)
    assert (code, err) == (0, "")
    bank = audionmf.Templates.load(tmp_path / "a.npz")
    assert f"{bank.n_components} components: " in text
    assert "<- picked" in text
    code, text, _ = run("learn", path, "-o", tmp_path / "b.npz", "--json", *arguments)
    choice = json.loads(text)["choice"]
    assert choice["picked"] == bank.n_components
    assert len(choice["candidates"]) == len(choice["held_out"]) >= 1


@pytest.mark.parametrize(
    "arguments",
    [("learn", "a.wav", "--n-components", "some"),
     ("separate", "a.wav", "--n-sources", "2", "--n-components", "auto")],
)  # fmt: skip
def test_auto_is_for_learn_and_other_words_are_refused(run, arguments):
    code, _, err = run(*arguments)
    assert code == 2
    assert "--n-components" in err


@pytest.mark.parametrize("dictionary", ["frames", "nmf"])
def test_spectra_alone_are_those_of_the_bank(dictionary):
    rng = np.random.default_rng(3)
    recordings = [Audio(rng.standard_normal((2, 9000)).astype(np.float32) / 9, 8000)]
    config = Settings(dictionary=dictionary, n_components=12)
    whole = learn(recordings, "noise", settings=config)
    bare, _ = learn_spectra(recordings, "noise", config, silent)
    np.testing.assert_array_equal(bare.templates, whole.templates)
    assert (bare.labels, bare.stft) == (whole.labels, whole.stft)
    assert bare.durations is None
    assert whole.durations is not None
    if dictionary == "frames":
        np.testing.assert_array_equal(bare.context, whole.context)


def test_spectra_alone_refuse_silence():
    recordings = [Audio(np.zeros((1, 9000), np.float32), 8000)]
    silence = pytest.raises(InvalidAudioError, match="'nothing' is silent")
    with pytest.warns(AudioWarning, match="silent"), silence:
        learn_spectra(recordings, "nothing", Settings(), silent)
