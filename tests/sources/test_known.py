"""The account of what is known: one type, and short forms of it."""

import dataclasses
import inspect

import numpy as np
import pytest
from scores import band

import audionmf
from audionmf import Known, ParameterError, Templates
from audionmf.batch.job import SeparationJob
from audionmf.sources.known import Told
from audionmf.spectra.stft import STFT

RATE = 8000


def bank(*labels):
    rng = np.random.default_rng(0)
    return Templates(rng.random((257, len(labels)), np.float32), labels, STFT(512, 128), RATE)


def sound(seed):
    return np.random.default_rng(seed).standard_normal(RATE).astype(np.float32)


def test_a_job_says_of_the_sources_what_python_says():
    fields = {field.name for field in dataclasses.fields(Told)}
    assert fields <= {field.name for field in dataclasses.fields(SeparationJob)}
    told, others = Told.split({"free": 2, "examples": {"a": "x"}, "beta": 1})
    assert (told.free, told.examples, others) == (2, {"a": "x"}, {"beta": 1})
    assert fields & set(inspect.signature(audionmf.separate).parameters) == set()


def test_short_forms_and_known_say_the_same():
    short = Told(templates=bank("a", "b"), absent={"b": [(0, 1)]}).account()
    known = Told().account(
        {"a": Known(bank=bank("x")), "b": Known(bank=bank("y"), absent=[(0, 1)])}
    )
    assert short.names == known.names == ["a", "b"]
    assert short.labels == known.labels
    assert [b.names for k in known.sources.values() for b in k.banks] == [("a",), ("b",)]


def test_what_is_known_of_one_source_adds_up():
    account = Told(templates=bank("Violin"), examples={"violin": sound(1)}).account(
        {"VIOLIN": Known(alone=[(0, 0.5)])}, sample_rate=RATE
    )
    assert list(account.sources) == ["Violin", "rest"]
    violin = account.sources["Violin"]
    assert len(violin.banks) == len(violin.recordings) == len(violin.alone) == 1


def test_names_in_two_unicode_forms_are_one():
    account = Told(examples={"flu\u0302te": sound(1), "fl\u00fbte": sound(2)}).account(
        sample_rate=RATE
    )
    assert list(account.sources) == ["fl\u00fbte", "rest"]
    assert len(account.sources["fl\u00fbte"].recordings) == 2


def test_notes_come_from_a_part_of_a_file(tmp_path):
    path = tmp_path / "duo.mid"
    path.write_bytes(band(Violin=[(0, 1, 60)], Cello=[(0, 1, 40)]))
    account = Told().account({"fiddle": Known(notes=(path, "violin"))})
    assert account.score.names == ["fiddle"]
    with pytest.raises(ParameterError, match="has no part 'horn'; its parts are 'Violin', 'Cello'"):
        Told().account({"horn": Known(notes=(path, "horn"))})


def test_a_single_source_has_a_rest_but_for_a_score_or_a_residual():
    assert Told(templates=bank("a")).account().names == ["a", "rest"]
    assert Told(templates=bank("a")).account().sources["rest"].free > 0
    assert Told(templates=bank("a"), residual="hum").account().names == ["a", "hum"]
    assert Told(templates=bank("a"), free=3).account().names == ["a", "other"]
    assert Told(lead=True).account().names == ["lead", "accompaniment"]
    with pytest.raises(ParameterError, match="call it something else"):
        Told(templates=bank("rest")).account()


@pytest.mark.parametrize("free", [-1, 1.5, "3"])
def test_free_components_are_a_number(free):
    with pytest.raises(ParameterError, match="free components are a number"):
        Known(free=free)
    with pytest.raises(ParameterError, match="free components are a number"):
        Told(templates=bank("a"), free=free).account()


def test_known_and_short_forms_give_the_same_stems():
    mixture = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE) + 0.2 * sound(3)
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    options = {"sample_rate": RATE, "n_fft": 512}
    short = audionmf.separate(mixture, examples={"tone": tone, "noise": sound(4)}, **options)
    known = audionmf.separate(
        mixture, {"tone": Known(example=tone), "noise": Known(example=sound(4))}, **options
    )
    for name, stem in short.sources.items():
        np.testing.assert_array_equal(stem, known.sources[name])


def test_planning_opens_no_example(tmp_path, monkeypatch):
    """A batch plans every job: examples are read when their turn comes, not for each plan."""
    from audionmf.sources import known

    monkeypatch.setattr(known, "recordings_of", lambda *_: pytest.fail("an example was opened"))
    for name in "ab":
        (tmp_path / f"{name}.wav").touch()
    account = Told(examples={"a": tmp_path / "a.wav", "b": [tmp_path / "b.wav"]}).account()
    assert account.names == ["a", "b"]
    with pytest.raises(FileNotFoundError):
        Told(examples={"a": tmp_path / "none.wav"}).account()
