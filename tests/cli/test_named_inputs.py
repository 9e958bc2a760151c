"""Inputs of one name, and folders of inputs, for each command that makes a folder for each."""

from argparse import Namespace
from pathlib import Path

import pytest
from conftest import RATE, TINY_OPTIONS, files_below, sound, two_notes

from audionmf.cli.common import named_inputs
from audionmf.io.files import safe_name


@pytest.mark.parametrize(
    "pair",
    [
        ("a/mix.wav", "b/mix.wav"),
        ("mix.wav", "mix.flac"),
        ("Bird.wav", "bird.wav"),
        ("u\u0308.wav", "\u00fc.wav"),
        ("a?.wav", "a*.wav"),
        ("x" * 246 + ".wav", "x" * 246 + ".flac"),
    ],
)
def test_inputs_whose_names_collide_are_told_apart(pair):
    found = named_inputs(Namespace(input=list(pair), out="out"))
    names = {safe_name(one.track or Path(one.path).stem).casefold() for one in found}
    assert len(names) == 2
    assert {one.folder for one in found} == {"out"}


@pytest.mark.parametrize("command", ["decompose", "notes"])
def test_each_has_a_folder_of_its_own(run, tmp_path, command):
    short = two_notes()[:, : RATE // 4]
    for name in ("album/one.wav", "album/live/one.wav", "other/one.wav"):
        sound(tmp_path / name, short)
    inputs = [tmp_path / "album", tmp_path / "other" / "one.wav"]
    code, _, err = run(command, *inputs, "-o", tmp_path / "out", *TINY_OPTIONS)
    assert code == 0, err
    made = {str(Path(name).parent) for name in files_below(tmp_path / "out")}
    assert made == {"one (album)", "live/one", "one (other)"}
