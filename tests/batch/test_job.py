"""A separation as plain data."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
from conftest import TINY

from audionmf.batch.job import SeparationJob
from audionmf.errors import ParameterError

FULL = SeparationJob(
    Path("a mix.wav"), Path("out"), templates=[Path("a.npz")], examples={"b": [Path("b.wav")]},
    free=2, residual="left", only="b", solo={"c": [(1.0, 2.5)]}, absent={"b": [(0.0, 0.5)]},
    convert=True, midi=Path("s.mid"), midi_split="channel", split_at="C4", lead=True, export=["csv"],
    report=True, track="mix", pattern="{source}.{ext}", extension="flac", settings=TINY,
    drum_keys={"b": 36}, tempo="auto", start=1.5, duration=2.0, subtype="PCM_24",
    harmonic_percussive=True, margin=2.0, kit={"kick": ["k.wav"]},
    same=[(0.5, 1)], apart=[(0.5, 2)],
)  # fmt: skip


def test_a_job_survives_json():
    told = json.dumps(FULL.to_dict())
    again = SeparationJob.from_dict(json.loads(told))
    assert json.dumps(again.to_dict()) == told
    assert again.settings == TINY
    assert again.inputs() == ["a mix.wav", "a.npz", "b.wav", "s.mid", "k.wav"]


def test_every_field_differs_from_its_default_in_the_full_job():
    plain = SeparationJob("mix.wav").to_dict()
    same = {name for name, value in FULL.to_dict().items() if plain[name] == value}
    assert same == {"n_sources"}


def test_a_name_that_is_not_utf8_survives_json():
    job = SeparationJob(os.fsdecode(b"caf\xe9.wav"))
    assert os.fsencode(SeparationJob.from_dict(json.loads(json.dumps(job.to_dict()))).input) == (
        b"caf\xe9.wav"
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"input": "a", "n_source": 2}, "no field 'n_source'"),
        ({"input": "a", "settings": {"bta": 1}}, "no option 'bta'"),
        ({"folder": "a"}, "wrong value"),
        ({"input": 7}, "wrong value"),
    ],
)
def test_a_wrong_job_is_refused(values, words):
    with pytest.raises(ParameterError, match=words):
        SeparationJob.from_dict(values)


def test_a_job_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FULL.free = 3


def test_every_field_of_a_job_is_checked_when_it_comes_from_outside():
    from audionmf.batch.job import _CHECKS

    assert set(_CHECKS) == {field.name for field in dataclasses.fields(SeparationJob)}
