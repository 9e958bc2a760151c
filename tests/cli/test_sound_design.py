"""`audionmf mosaic` and `audionmf morph` at the shell."""

import json

import pytest
from conftest import sound, steps, tone

QUICK = ("--n-fft", "256")


@pytest.fixture
def pair(tmp_path):
    return sound(tmp_path / "a.wav", tone(330)), sound(tmp_path / "b.wav", tone(440, 3000))


def test_mosaic_prints_the_file(run, pair, tmp_path):
    out = tmp_path / "m.wav"
    given = (pair[0], "--corpus", pair[1], "--corpus", f"{pair[0]}@0-0.1", "-o", out)
    assert run("mosaic", *given, *QUICK) == (0, f"{out}\n", "")
    assert steps(out).shape == (1, 4000)


def test_cross_and_json(run, pair, tmp_path):
    out = tmp_path / "m.flac"
    given = (pair[0], "--corpus", pair[1], "--cross", 2, "-o", out, "--json", "--max-iter", 5)
    code, text, err = run("mosaic", *given, *QUICK)
    assert (code, err) == (0, "")
    assert json.loads(text) == {"input": str(pair[0]), "output": str(out), "gain": 1.0}


@pytest.mark.parametrize("amount", ["0.5", "0-1", "0.2-0.8"])
def test_morph_prints_the_file(run, pair, tmp_path, amount):
    out = tmp_path / "m.wav"
    assert run("morph", *pair, "--amount", amount, "-o", out, *QUICK) == (0, f"{out}\n", "")
    assert steps(out).shape == (1, 4000)


@pytest.mark.parametrize(
    ("command", "arguments", "code", "text"),
    [
        ("morph", ("--amount", "2"), 2, "the amount is a number from 0 to 1"),
        ("morph", ("--amount", "half"), 2, "the amount is a number from 0 to 1, or START-END"),
        ("morph", ("--hop-length", "4096"), 2, "too long for a window"),
        ("mosaic", (), 2, "missing: --corpus"),
        ("mosaic", ("--corpus", "none.wav"), 3, "'none.wav': there is no such file"),
    ],
)
def test_what_is_wrong_is_one_line(run, pair, tmp_path, command, arguments, code, text):
    inputs = pair if command == "morph" else pair[:1]
    found, _, err = run(command, *inputs, *arguments, "-o", tmp_path / "m.wav")
    assert found == code
    assert text in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "m.wav").exists()
