"""Kits: strokes of a loop as samples, their keys, and the files."""

import numpy as np
import pytest
from conftest import RATE, TINY, files_below, sound, steps

import audionmf
from audionmf import AudioWarning, InvalidAudioError, OutputError, ParameterError
from audionmf.evaluate.measures import si_sdr
from audionmf.separation.kits import oneshots_file

QUICK = {"n_fft": 256, "max_iter": 20, "n_threads": 1, "model": "frames", "exemplars": False}
KICKS, HATS = (0.1, 1.1, 1.6), (0.1, 0.6, 1.65)


def kick(onsets=KICKS):
    return _struck(onsets, lambda t: 0.5 * np.exp(-20 * t) * np.sin(2 * np.pi * 100 * t))


def hat(onsets=HATS):
    noise = np.diff(np.random.default_rng(0).standard_normal(2 * RATE), prepend=0)
    return _struck(onsets, lambda t: 0.1 * np.exp(-40 * t) * noise[: len(t)])


def _struck(onsets, sound_of):
    found = np.zeros(2 * RATE)
    for onset in onsets:
        first = round(onset * RATE)
        found[first:] += sound_of(np.arange(2 * RATE - first) / RATE)
    return found


@pytest.fixture
def loop(tmp_path):
    return sound(tmp_path / "loop.wav", kick() + hat(), "PCM_24")


@pytest.fixture
def known(tmp_path):
    examples = {
        "kick": sound(tmp_path / "kick.wav", kick((0.2,))),
        "hat": sound(tmp_path / "hat.wav", hat((0.3,))),
    }
    return {"examples": examples, **QUICK}


def test_each_stroke_is_cut_and_the_best_comes_first(loop, known):
    kit = audionmf.oneshots(loop, **known)
    assert {name: len(takes) for name, takes in kit.takes.items()} == {"kick": 3, "hat": 3}
    assert kit.keys == {"kick": 36, "hat": 42}
    for takes in kit.takes.values():
        assert [t.clean for t in takes] == sorted((t.clean for t in takes), reverse=True)
    for name, truth in (("kick", kick()), ("hat", hat())):
        take = kit.takes[name][0]
        first = round(take.onset * RATE)
        wanted = truth[None, first : first + take.samples.shape[1]]
        assert si_sdr(wanted, take.samples) > 10


def test_files_and_kit_are_what_memory_holds(loop, known, tmp_path):
    written = oneshots_file(loop, tmp_path / "kit", takes=2, **known)
    kit = audionmf.oneshots(loop, takes=2, **known)
    assert files_below(tmp_path / "kit") == [
        "hat-01.wav", "hat-02.wav", "kick-01.wav", "kick-02.wav", "loop.sfz",
    ]  # fmt: skip
    for name, takes in kit.takes.items():
        for path, take in zip(written.paths[name], takes, strict=True):
            assert np.allclose(steps(path), take.samples, atol=2**-23)
            assert audionmf.AudioFile(path).subtype == "PCM_24"
    text = written.sfz.read_text("utf-8")
    assert "key=36" in text
    assert "sample=kick-01.wav" in text


def test_without_a_kit_in_another_format(loop, known, tmp_path):
    written = oneshots_file(
        loop, tmp_path / "k", kit=False, takes=1, extension="flac", subtype="PCM_16", **known
    )
    assert written.sfz is None
    assert files_below(tmp_path / "k") == ["hat-01.flac", "kick-01.flac"]


def test_names_that_say_nothing_get_keys_by_sound_and_then_free_ones(loop, known):
    known["examples"] = {"a": known["examples"]["kick"], "b": known["examples"]["hat"]}
    assert audionmf.oneshots(loop, **known).keys == {"a": 36, "b": 38}
    keys = audionmf.oneshots(loop, drum_keys={"b": 36}, **known).keys
    assert keys == {"a": 60, "b": 36}


def test_what_would_clip_is_scaled_by_one_gain(loop, known, tmp_path):
    kit = audionmf.oneshots(loop, **known)
    loud = {n: tuple(_louder(t) for t in takes) for n, takes in kit.takes.items()}
    written = audionmf.Kit(loud, kit.keys, RATE, "PCM_16", "loop", kit.decomposition).save(tmp_path)
    assert 0.2 < written.gain < 0.5
    most = max(np.abs(steps(p)).max() for paths in written.paths.values() for p in paths)
    assert 0.99 < most < 1


def _louder(take):
    return type(take)(take.samples * 5, take.onset, take.level_db, take.clean)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"takes": 0}, "takes must be a whole number from 1 to 64, not 0"),
        ({"longest": 0}, "longest must be more than 0"),
        ({"longest": float("nan")}, "longest must be"),
        ({"drum_keys": {"kick": 200}}, "the key of the drum 'kick' is 0 to 127"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_computed(loop, options, text):
    with pytest.raises(ParameterError, match=text):
        audionmf.oneshots(loop, n_sources=2, **options)


def test_silence_has_no_strokes(tmp_path):
    path = sound(tmp_path / "a.wav", np.zeros(2 * RATE))
    with pytest.warns(AudioWarning), pytest.raises(InvalidAudioError, match="no stroke"):
        audionmf.oneshots(path, n_sources=2, settings=TINY)


def test_an_input_is_not_overwritten(loop, known, tmp_path):
    example = known["examples"]["kick"].rename(tmp_path / "kick-01.wav")
    known["examples"]["kick"] = example
    before = files_below(tmp_path)
    with pytest.raises(OutputError, match="overwrite the input"):
        oneshots_file(loop, tmp_path, **known)
    assert files_below(tmp_path) == before


def test_sources_whose_files_would_have_one_name_are_refused(loop, known, tmp_path):
    kit = audionmf.oneshots(loop, **known)
    takes = {"a=b": kit.takes["kick"], "a$b": kit.takes["hat"]}
    clash = audionmf.Kit(takes, {"a=b": 1, "a$b": 2}, RATE, "PCM_16", "x", kit.decomposition)
    with pytest.raises(ParameterError, match="files of one name"):
        clash.save(tmp_path / "out")
