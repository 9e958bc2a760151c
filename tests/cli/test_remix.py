"""`audionmf remix` at the shell."""

import json

import numpy as np
import pytest
from conftest import TINY_OPTIONS, sound, steps, tone, two_notes


@pytest.fixture
def low(tmp_path):
    return sound(tmp_path / "low.wav", tone(330))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out" / "remix.wav"


def test_remix_prints_the_file(run, mixture, low, out):
    arguments = ("--example", f"low={low}", "--gain", "low=-inf", "-o", out, *TINY_OPTIONS)
    assert run("remix", mixture, *arguments) == (0, f"{out}\n", "")
    assert steps(out).shape == steps(mixture).shape
    assert not np.array_equal(steps(out), steps(mixture))


def test_remix_at_0_db_gives_the_input(run, mixture, low, out):
    arguments = ("--example", f"low={low}", "--gain", "low=0", "-o", out, *TINY_OPTIONS)
    assert run("remix", mixture, *arguments)[0] == 0
    assert np.array_equal(steps(out), steps(mixture))


def test_remix_says_that_it_was_scaled(run, mixture, low, out):
    gains = ("--gain", "low=+20", "--gain", "rest=+20")
    arguments = ("--example", f"low={low}", *gains, "-o", out, "--json", *TINY_OPTIONS)
    code, text, err = run("remix", mixture, *arguments)
    found = json.loads(text)
    assert code == 0
    assert found["output"] == str(out)
    assert found["gain"] < 1
    assert found["sources"] == ["low", "rest"]
    assert "was scaled by 0." in err
    assert "or it would have clipped" in err


def test_remix_of_a_model(run, mixture, out, tmp_path):
    where = ("-o", tmp_path / "parts", "--n-components", 3)
    assert run("decompose", mixture, *where, *TINY_OPTIONS)[0] == 0
    model = ("--model", tmp_path / "parts" / "mix" / "model.npz")
    grouped = ("--group", "low=0,1", "--gain", "low=-6", "-o", out)
    assert run("remix", mixture, *model, *grouped) == (0, f"{out}\n", "")
    code, _, err = run("remix", mixture, *model, *grouped, "--beta", 2)
    assert code == 2
    assert "leave out those of the analysis" in err


def test_model_may_say_how_sources_are_modelled_too(run, mixture, low, out):
    known = ("--example", f"low={low}", "--model", "frames", "--gain", "low=-6")
    assert run("remix", mixture, *known, "-o", out, *TINY_OPTIONS)[0] == 0
    code, _, err = run("remix", mixture, *known[:2], "--model", "x", "--gain", "low=0", "-o", out)
    assert code == 2 or code == 3
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--gain", "high=0"], 2, "there is no source 'high'; there are 'low', 'rest'"),
        (["--gain", "low=loud"], 2, "a gain is written NAME=DB"),
        ([], 2, "missing: --gain"),
    ],
)
def test_a_wrong_remix_is_one_line(run, mixture, low, out, arguments, code, text):
    found, _, err = run("remix", mixture, "--example", f"low={low}", "-o", out, *arguments)
    assert found == code
    assert text in err
    assert len(err.splitlines()) == 1
    assert not out.exists()


def test_the_help_answers_with_examples(run):
    code, text, _ = run("remix", "--help")
    assert code == 0
    assert "examples:" in text
    assert "--gain NAME=DB" in text


def test_a_stereo_remix_in_flac(run, low, tmp_path):
    mixture = sound(tmp_path / "stereo.flac", two_notes(2))
    out = tmp_path / "remix.flac"
    arguments = ("--example", f"low={low}", "--gain", "low=0dB", "-o", out, *TINY_OPTIONS)
    assert run("remix", mixture, *arguments)[0] == 0
    assert np.array_equal(steps(out), steps(mixture))
