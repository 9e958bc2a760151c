"""`audionmf oneshots` at the shell."""

import json

import numpy as np
import pytest
from conftest import RATE, TINY_OPTIONS, files_below, sound


@pytest.fixture
def loop(tmp_path):
    seconds = np.arange(RATE) / RATE
    hit = 0.5 * np.exp(-20 * seconds) * np.sin(2 * np.pi * 100 * seconds)
    return sound(tmp_path / "loop.wav", np.concatenate([np.zeros(800), hit, hit]))


def known(loop):
    return ("--example", f"kick={loop}@0-0.9", *TINY_OPTIONS)


def test_oneshots_prints_the_files(run, loop, tmp_path):
    out = tmp_path / "kit"
    code, text, _ = run("oneshots", loop, *known(loop), "--takes", 1, "-o", out)
    assert code == 0
    assert text.splitlines()[:2] == [str(out), "  kick-01.wav"]
    assert text.splitlines()[-1] == "  loop.sfz"
    assert {"kick-01.wav", "loop.sfz"} <= set(files_below(out))


def test_as_json_and_without_a_kit(run, loop, tmp_path):
    out = tmp_path / "kit"
    code, text, _ = run("oneshots", loop, *known(loop), "--no-kit", "--json", "-o", out)
    found = json.loads(text)
    assert code == 0
    assert found["kit"] is None
    assert found["samples"]["kick"][0] == str(out / "kick-01.wav")
    assert not list(out.glob("*.sfz"))


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--takes", "0"], 2, "takes must be a whole number from 1 to 64"),
        (["--map", "kick=999"], 2, "the key of the drum 'kick'"),
        (["--format", "flac", "--subtype", "FLOAT"], 2, "flac files cannot hold 'FLOAT'"),
        (["--example", "hat=none.wav"], 3, "'none.wav': there is no such file"),
    ],
)
def test_what_is_wrong_is_one_line(run, loop, tmp_path, arguments, code, text):
    found, _, err = run("oneshots", loop, *known(loop), *arguments, "-o", tmp_path / "kit")
    assert found == code
    assert text in err
    assert len(err.splitlines()) == 1
