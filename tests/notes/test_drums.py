"""Which drum a source is called after, and what the command line says about it."""

import pytest

from audionmf.errors import ParameterError
from audionmf.notes.drums import (
    DRUMS,
    check_keys,
    drum_key,
    drum_name,
    is_kit,
    key_by_name,
    parse_keys,
)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("kick", 36), ("Kick_01", 36), ("bass drum", 36), ("BD", 36), ("snare", 38), ("snare-top", 38),
        ("hihat", 42), ("Hi-Hat", 42), ("hat", 42), ("open hat", 46), ("openhat", 46), ("tom", 45),
        ("floor_tom", 41), ("crash", 49), ("ride", 51), ("clap", 39), ("handclap", 39),
        ("tambourine", 54), ("cowbell", 56), ("rimshot", 37), ("piano", None), ("bass", None),
        ("bride", None), ("tomato", None), ("drums", None), ("guitar", None), ("custom", None),
    ],
)  # fmt: skip
def test_names_of_drums_are_known(name, key):
    assert drum_key(name) == key


def test_what_is_said_goes_before_the_name():
    assert drum_key("kick", {"kick": 35}) == 35
    assert drum_key("violin", {"violin": 56}) == 56


def test_every_drum_has_a_name_and_a_key():
    assert len(set(DRUMS.values())) == len(DRUMS)
    for key in range(128):
        assert key_by_name(drum_name(key)) == key
    for name, key in DRUMS.items():
        assert drum_key(name) == key
    assert key_by_name("drum 128") is None


def test_kits_are_drums_of_several_kinds():
    assert all(is_kit(name) for name in ("drums", "Percussion", "drum kit", "perc 2"))
    assert not any(is_kit(name) for name in ("kick", "piano", "kitten", "drumstick"))


def test_keys_are_written_by_number_or_by_name():
    assert parse_keys(["kick=35", "low thing = cowbell"]) == {"kick": 35, "low thing": 56}
    assert check_keys({"a": "ride", "b": 0}) == {"a": 51, "b": 0}


@pytest.mark.parametrize("text", ["kick", "=36", "kick=", "kick=128", "kick=-1", "kick=piano"])
def test_other_keys_are_refused(text):
    with pytest.raises(ParameterError):
        parse_keys([text])
