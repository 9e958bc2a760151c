"""The evaluate command: results, exit codes, one line for each failure."""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import RATE, child, files_below, sound, tone

from audionmf.evaluate.measures import scores

NAMES = ("high", "low")


def stems():
    rng = np.random.default_rng(0)
    return np.stack([tone(880), tone(330)])[:, None] + 0.01 * rng.standard_normal((2, 1, 4000))


@pytest.fixture
def truths(tmp_path):
    for name, samples in zip(NAMES, stems(), strict=True):
        sound(tmp_path / "true" / f"{name}.wav", samples, "FLOAT")
    return tmp_path / "true"


@pytest.fixture
def guesses(tmp_path):
    for name, samples in zip(NAMES, stems() + 0.1 * stems()[::-1], strict=True):
        sound(tmp_path / "out" / f"{name}.wav", samples, "FLOAT")
    return tmp_path / "out"


def assert_one_line(err, *parts):
    assert re.fullmatch(r"audionmf[^\n]*\n", err), err
    assert "Traceback" not in err
    for part in parts:
        assert str(part) in err


def expected_scores():
    truth, guess = (x.astype(np.float32) for x in (stems(), stems() + 0.1 * stems()[::-1]))
    return scores(truth, guess)


# --- what works


def test_evaluate_prints_a_table(run, truths, guesses):
    code, text, err = run("evaluate", truths, guesses)
    assert (code, err) == (0, "")
    lines = text.splitlines()
    assert len(lines) == 6
    for line, name, score in zip(lines[2:4], NAMES, expected_scores(), strict=True):
        figures = [f"{value:.1f}" for value in (score.si_sdr, score.si_sir, score.si_sar)]
        assert line.split() == [name, f"{name}.wav", *figures]
    assert lines[4].split()[0] == "mean"


def test_evaluate_as_json_is_one_line(run, truths, guesses):
    code, text, err = run("evaluate", truths, guesses, "--json")
    assert (code, err) == (0, "")
    assert len(text.splitlines()) == 1
    found = json.loads(text)
    told = [stem["si_sar"] for stem in found["stems"]]
    assert told == [score.si_sar for score in expected_scores()]
    assert found["mean"]["si_sdr"] == pytest.approx(
        np.mean([score.si_sdr for score in expected_scores()])
    )
    assert (found["sample_rate"], found["match"], found["files"]) == (RATE, "name", [])
    assert "sdr" not in found["mean"]


def test_bss_eval_and_a_csv_file(run, truths, guesses, tmp_path):
    path = tmp_path / "new" / "scores.csv"
    code, text, err = run("evaluate", truths, guesses, "--bss-eval", "--csv", path)
    assert (code, err) == (0, "")
    assert text.splitlines()[-1] == str(path)
    assert text.splitlines()[1].split()[-3:] == ["SDR", "SIR", "SAR"]
    header, *rows = path.read_text().splitlines()
    assert header == "name,reference,estimate,si_sdr,si_sir,si_sar,sdr,sir,sar"
    assert [row.partition(",")[0] for row in rows] == list(NAMES)
    code, text, _ = run("evaluate", truths, guesses, "--csv", path, "--json", "--no-bss-eval")
    assert (code, json.loads(text)["files"]) == (0, [str(path)])
    assert path.read_text().splitlines()[0] == "name,reference,estimate,si_sdr,si_sir,si_sar"
    assert files_below(tmp_path / "new") == ["scores.csv"]


@pytest.mark.parametrize("match", ["auto", "best"])
def test_stems_with_names_of_their_own(run, truths, guesses, match):
    (guesses / "high.wav").rename(guesses / "source2.wav")
    (guesses / "low.wav").rename(guesses / "source1.wav")
    code, text, err = run("evaluate", truths, guesses, "--match", match, "--json")
    assert (code, err) == (0, "")
    found = {stem["name"]: Path(stem["estimate"]).name for stem in json.loads(text)["stems"]}
    assert found == {"high": "source2.wav", "low": "source1.wav"}


def test_two_files(run, truths, guesses):
    code, text, err = run("evaluate", truths / "low.wav", guesses / "low.wav")
    assert (code, err) == (0, "")
    assert text.splitlines()[2].split()[:2] == ["low", "low.wav"]


def test_what_separate_wrote_can_be_evaluated(run, tmp_path, truths):
    mixture = sound(tmp_path / "mix.wav", sum(stems()), "FLOAT")
    options = ("--n-fft", 256, "--max-iter", 5, "--n-threads", 1)
    assert run("separate", mixture, "--n-sources", 2, "-o", tmp_path / "o", *options)[0] == 0
    code, text, err = run("evaluate", truths, tmp_path / "o" / "mix", "--json")
    assert (code, err) == (0, "")
    assert json.loads(text)["residual_db"] < -110


# --- what is odd


def test_a_stem_on_one_side_only_is_a_warning_and_with_strict_a_failure(run, truths, guesses):
    (guesses / "low.wav").unlink()
    code, text, err = run("evaluate", truths, guesses)
    assert (code, len(text.splitlines())) == (0, 5)
    assert_one_line(err, "warning", "'low'")
    code, text, err = run("evaluate", truths, guesses, "--strict")
    assert (code, text) == (3, "")
    assert_one_line(err, "error", "'low'")


# --- exit codes


def test_a_wrong_option_is_code_2(run, truths, guesses, tmp_path):
    for arguments in (("--match", "names"), ("--csv",), ("--bss",)):
        code, text, err = run("evaluate", truths, guesses, *arguments)
        assert (code, text) == (2, "")
        assert_one_line(err, "--help")
    code, _, err = run("evaluate", truths)
    assert code == 2
    assert_one_line(err, "ESTIMATES")


def test_no_name_on_both_sides_is_code_2(run, truths, guesses):
    for name in NAMES:
        (guesses / f"{name}.wav").rename(guesses / f"{name}2.wav")
    code, text, err = run("evaluate", truths, guesses, "--match", "name")
    assert (code, text) == (2, "")
    assert_one_line(err, "'high', 'low'", "'high2', 'low2'", "best")


@pytest.mark.parametrize("kind", ["gone", "empty", "text", "stereo", "long", "rate"])
def test_a_bad_input_is_code_3_and_one_line_and_leaves_nothing(
    run, truths, guesses, tmp_path, kind
):
    bad = guesses / "low.wav"
    samples = stems()[1]
    if kind == "gone":
        guesses = bad = tmp_path / "gone"
    elif kind == "empty":
        guesses = bad = tmp_path / "empty"
        bad.mkdir()
    elif kind == "text":
        bad.write_text("no audio")
    elif kind == "stereo":
        sound(bad, np.concatenate([samples, samples]))
    elif kind == "long":
        sound(bad, np.tile(samples, 2))
    else:
        sound(bad, samples, rate=16000)
    path = tmp_path / "scores.csv"
    code, text, err = run("evaluate", truths, guesses, "--csv", path)
    assert (code, text) == (3, "")
    assert_one_line(err, "error", repr(str(bad)))
    assert not path.exists()


def test_a_table_over_an_input_is_code_4_and_the_input_stays(run, truths, guesses, tmp_path):
    link = tmp_path / "link.csv"
    for path in (truths / "low.wav", guesses / "high.wav"):
        before = path.read_bytes()
        link.symlink_to(path)
        for target in (path, link):
            code, text, err = run("evaluate", truths, guesses, "--csv", target)
            assert (code, text) == (4, "")
            assert_one_line(err, "overwrite", target)
        link.unlink()
        assert path.read_bytes() == before


def test_a_table_that_cannot_be_written_is_code_4_before_anything_is_read(
    run, truths, guesses, tmp_path
):
    (guesses / "low.wav").write_text("no audio")
    (tmp_path / "file").write_text("")
    for target in (tmp_path, tmp_path / "file" / "scores.csv"):
        code, text, err = run("evaluate", truths, guesses, "--csv", target)
        assert (code, text) == (4, "")
        assert_one_line(err, "could not be written")


def test_a_missing_library_is_code_1_and_one_line(run, truths, guesses, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "fast_bss_eval", None)
    monkeypatch.setitem(sys.modules, "fast_bss_eval.numpy", None)
    path = tmp_path / "scores.csv"
    code, text, err = run("evaluate", truths, guesses, "--bss-eval", "--csv", path)
    assert (code, text) == (1, "")
    assert_one_line(err, "pip install 'audionmf[evaluate]'")
    assert not path.exists()
    assert run("evaluate", truths, guesses)[0] == 0


def test_over_the_limit_of_memory_is_code_6(run, truths, guesses, monkeypatch):
    monkeypatch.setattr("audionmf.evaluate.measures._MAX_BYTES", 1000)
    code, text, err = run("evaluate", truths, guesses, "--bss-eval")
    assert (code, text) == (6, "")
    assert_one_line(err, "memory", "excerpt")


# --- help, and a real process


def test_the_help_answers_with_examples(run):
    code, text, err = run("evaluate", "--help")
    assert (code, err) == (0, "")
    for part in ("examples:", "audionmf evaluate stems", "--bss-eval", "--match", "--csv"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 110
    _, text, _ = run("--help")
    assert re.search(r"^ +evaluate\b", text, re.MULTILINE)


def test_odd_names_work_in_the_c_locale(truths, guesses):
    odd = os.fsdecode(b"caf\xe9 '\n.wav")
    for side in (truths, guesses):
        (side / "low.wav").rename(side / odd)
    result = child("-m", "audionmf", "evaluate", truths, guesses, env={**os.environ, "LC_ALL": "C"})
    assert (result.returncode, result.stderr) == (0, b"")
    assert len(result.stdout.splitlines()) == 6
