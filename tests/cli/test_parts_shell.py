"""`--start`, `--duration` and ranges in examples at the shell."""

import json

import numpy as np
import pytest
from conftest import TINY_OPTIONS, sound, steps, tone, two_notes


@pytest.fixture
def long(tmp_path):
    return sound(tmp_path / "long.wav", np.tile(two_notes(), 4))


@pytest.fixture
def take(tmp_path):
    return sound(tmp_path / "take.wav", np.concatenate([tone(700), tone(330), tone(440)]))


def test_parts_give_the_stems_of_cut_files(run, tmp_path, long, take):
    known = ("--start", "0.5", "--duration", "0:01", "--example", f"low={take}@0.5-1")
    code, _, err = run("separate", long, *known, "-o", tmp_path / "out", *TINY_OPTIONS)
    assert (code, err) == (0, "")
    cut = sound(tmp_path / "cut.wav", steps(long)[:, 4000:12000])
    example = sound(tmp_path / "example.wav", steps(take)[:, 4000:8000])
    known = ("--example", f"low={example}", "-o", tmp_path / "out", *TINY_OPTIONS)
    assert run("separate", cut, *known)[0] == 0
    for stem in ("low.wav", "rest.wav"):
        made, wanted = (tmp_path / "out" / name / stem for name in ("long", "cut"))
        assert made.read_bytes() == wanted.read_bytes()


def test_a_manifest_keeps_the_parts_and_they_are_made_again(run, tmp_path, long, take):
    known = ("--start", "0.5", "--example", f"low={take}@0.5-1", "-o", tmp_path / "out")
    assert run("separate", long, *known, *TINY_OPTIONS)[0] == 0
    manifest = tmp_path / "out" / "long" / "manifest.json"
    found = json.loads(manifest.read_text())
    assert found["job"]["start"] == 0.5
    assert found["job"]["examples"] == {"low": [f"{take}@0.5-1"]}
    assert sorted(found["inputs"]) == sorted([str(long), str(take)])
    code, told, _ = run("rerun", manifest)
    assert code == 0
    assert "the same bytes as before" in told


def test_a_part_is_remixed(run, tmp_path, long, take):
    out = tmp_path / "remix.wav"
    known = ("--example", f"low={take}@0.5-1", "--gain", "low=0", "--start", "0.25", "-o", out)
    assert run("remix", long, *known, *TINY_OPTIONS)[0] == 0
    assert np.array_equal(steps(out), steps(long)[:, 2000:])


def test_the_notes_of_a_part_are_those_of_a_cut_file(run, tmp_path, long):
    (tmp_path / "cut").mkdir()
    cut = sound(tmp_path / "cut" / "long.wav", steps(long)[:, 4000:12000])
    part = ("--start", "0.5", "--duration", "1")
    for recording, named, out in ((long, part, "a"), (cut, (), "b")):
        given = (*named, "--export", "midi,csv,events", "-o", tmp_path / out)
        assert run("notes", recording, *given)[0] == 0
    assert len((tmp_path / "a" / "long" / "notes.csv").read_text().splitlines()) > 1
    for name in ("notes.mid", "notes.csv", "events.csv"):
        made, wanted = (tmp_path / out / "long" / name for out in "ab")
        assert made.read_bytes() == wanted.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--start", "99"], 2, "the part from 99 s on is not inside"),
        (["--start", "x"], 2, "'x' is not a time: write it in seconds"),
        (["--duration", "0"], 2, "holds no sample"),
        (["--example", "low=TAKE@1-99"], 2, "not inside the recording, which is 1.5 s long"),
        (["--example", "low=none.wav@1-2"], 3, "'none.wav': there is no such file"),
    ],
)
def test_a_part_that_is_not_there_is_one_line(run, tmp_path, long, take, arguments, code, text):
    arguments = [a.replace("TAKE", str(take)) for a in arguments]
    found, _, err = run("separate", long, *arguments, "-o", tmp_path / "out", *TINY_OPTIONS)
    assert found == code
    assert text in err
    assert len(err.splitlines()) == 1
