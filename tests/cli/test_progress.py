"""Progress as it is shown: one line at any width, a line now and then, events for programs."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY_OPTIONS
from numba.core.registry import cpu_target

from audionmf.analysis import forewarning
from audionmf.cli import progress
from audionmf.cli.progress import COMPILING, Bar, Display, _clock
from audionmf.nmf import compiled
from audionmf.nmf.compiled import OptionalCache


def options(**given):
    return argparse.Namespace(**{"quiet": False, "progress": "auto", **given})


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of a given width."""

    def of(width):
        monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(
            progress.shutil, "get_terminal_size", lambda: os.terminal_size((width, 24))
        )

    return of


def test_a_line_tells_of_the_file_and_of_all(capsys, terminal):
    terminal(100)
    display = Display(options())
    display.show("t001.wav: render", 0.2, 0.3, 65.2, 1, 4)
    line = capsys.readouterr().err
    assert line == "\r1/4 [######..............] 30% 1:05 left  t001.wav: render 20%"
    display.clear()
    assert capsys.readouterr().err == "\r" + " " * (len(line) - 1) + "\r"


@pytest.mark.parametrize("width", [25, 40, 60, 80, 200])
def test_the_line_fits_the_terminal_whatever_its_width(capsys, terminal, width):
    terminal(width)
    display = Display(options())
    for left in (None, 5000.0):
        display.show("a recording with a long name.wav: factorise", 0.5, 0.25, left, 12, 345)
    for line in capsys.readouterr().err.split("\r"):
        assert "\n" not in line
        assert len(line) < width


def test_elsewhere_there_is_a_line_every_ten_seconds(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    display = Display(options())
    for second in range(0, 26, 2):
        now[0] = float(second)
        display.show("factorise", second / 30, second / 60, 60.0 - second)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "audionmf: 17% 0:50 left  factorise 33%",
        "audionmf: 33% 0:40 left  factorise 67%",
    ]


def test_a_recording_that_is_not_finished_is_not_said_to_be(capsys, terminal):
    terminal(80)
    display = Display(options())
    display.show("song.wav: notes", 0.5, 1.0, 0.0, 0, 1)
    display.show("song.wav", 1.0, 1.0, 0.0, 1, 1)
    first, last = capsys.readouterr().err.split("\r")[1:]
    assert "99%  song.wav: notes 50%" in first
    assert "100% 0:00 left" in last


@pytest.mark.parametrize("given", [{"quiet": True}, {"progress": "none"}])
def test_nothing_is_told_where_nothing_is_asked_for(capsys, terminal, given):
    terminal(80)
    Display(options(**given)).show("render", 1.0, 1.0)
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_work_goes_on_where_what_is_told_cannot_be_written(mixture, tmp_path):
    command = ["separate", str(mixture), "-n", "2", "-o", str(tmp_path / "o"), "--progress", "json"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "audionmf", *command, *TINY_OPTIONS],
            stdout=subprocess.DEVNULL,
            stderr=full,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0


def test_the_share_of_one_recording_rises(capsys):
    bar = Bar(options(progress="json"))
    for stage in ("read", "factorise", "group", "render"):
        bar(stage, 0.0)
        bar(stage, 1.0)
    shares = [json.loads(line)["done"] for line in capsys.readouterr().err.splitlines()]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_notes_of_one_instrument_begin_at_nothing_and_notes_of_several_behind_the_stems(capsys):
    alone, several = (Bar(options(progress="json", export=("midi",))) for _ in range(2))
    alone("notes", 0.0)
    alone("notes", 1.0)
    several("render", 1.0)
    several("notes", 1.0)
    shares = [json.loads(line)["done"] for line in capsys.readouterr().err.splitlines()]
    assert shares[:2] == [0, 1]
    assert 0 < shares[2] < 1
    assert shares[3] == 1


def test_work_that_is_first_heard_of_when_it_is_done_is_done(capsys):
    bar = Bar(options(progress="json", export=("midi",)))
    bar("notes", 1.0)
    assert json.loads(capsys.readouterr().err)["done"] == 1


def test_the_same_is_told_once(capsys):
    bar = Bar(options(progress="json"))
    for stage, done in (
        ("read", 1.0),
        ("read", 1.0),
        ("group", 0.0),
        ("group", 0.0),
        ("read", 1.0),
    ):
        bar(stage, done)
    told = [json.loads(line)["stage"] for line in capsys.readouterr().err.splitlines()]
    assert told == ["read", "group", "read"]


def test_events_are_lines_of_json(run, mixture, tmp_path):
    code, _, err = run(
        "separate", mixture, "-n", 2, "-o", tmp_path / "o", "--progress", "json", *TINY_OPTIONS
    )
    events = [event for event in map(json.loads, err.splitlines()) if event["event"] == "progress"]
    assert code == 0
    assert set(events[0]) == {
        "event", "stage", "stage_done", "done", "seconds_left", "files_done", "files",
    }  # fmt: skip
    assert {"mix.wav: factorise", "mix.wav: group", "mix.wav: render"} <= {
        event["stage"] for event in events
    }
    assert (events[-1]["done"], events[-1]["files_done"], events[-1]["seconds_left"]) == (1, 1, 0)


class Kept:
    """A cache in which nothing is found; saving takes what the clock of the test says."""

    def _load_overload(self, sig, target):
        return None

    def save_overload(self, sig, data):
        return None


class Cache(OptionalCache, Kept):
    """As that of a kernel."""


@pytest.fixture
def kernels(monkeypatch):
    """Return a function that compiles a kernel, as it is heard, in so many seconds; there are two."""
    now = [0.0]
    clock = compiled._Clock()
    clock.n_kernels = 2
    monkeypatch.setattr(compiled, "_clock", clock)
    monkeypatch.setattr(compiled.time, "monotonic", lambda: now[0])

    def compile_one(seconds):
        cache = Cache()
        assert cache.load_overload(None, cpu_target.target_context) is None
        now[0] += seconds
        cache.save_overload(None, None)

    return compile_one


@pytest.mark.parametrize("seconds", [4.0, 0.1])
def test_compiling_is_named_as_it_goes_and_its_seconds_at_the_end(
    capsys, terminal, kernels, seconds
):
    terminal(80)
    display = Display(options())
    kernels(seconds)
    kernels(seconds)
    assert f"{COMPILING}: 1 of 2, {_clock(seconds)}" in capsys.readouterr().err
    display.clear()
    said = f"audionmf: compiled kernels in {2 * seconds:.0f} s, once on this machine\n"
    assert capsys.readouterr().err.endswith(said) == (seconds > 1)
    display.clear()
    assert capsys.readouterr().err == ""


def test_without_a_terminal_compiling_is_named_every_ten_seconds_and_at_the_end(capsys, kernels):
    display = Display(options())
    for _ in range(4):
        kernels(6.0)
    display.clear()
    assert capsys.readouterr().err.splitlines() == [
        f"audionmf: {COMPILING}: 2 of 2, 0:12",
        f"audionmf: {COMPILING}: 4 of 4, 0:24",
        "audionmf: compiled kernels in 24 s, once on this machine",
    ]


def test_events_tell_of_compiling(capsys, kernels):
    display = Display(options(progress="json"))
    kernels(2.0)
    display.clear()
    assert [json.loads(line) for line in capsys.readouterr().err.splitlines()] == [
        {"event": "compiling", "kernels_done": 0, "kernels": 2, "seconds": 0.0},
        {"event": "compiling", "kernels_done": 1, "kernels": 2, "seconds": 2.0},
    ]


def test_quiet_prints_nothing_and_json_all_the_same(run, mixture, tmp_path):
    arguments = ("separate", mixture, "-n", 2, "-o", tmp_path / "o", "-q", "--names", "plain")
    arguments += TINY_OPTIONS
    assert run(*arguments) == (0, "", "")
    code, text, err = run(*arguments, "--json")
    assert (code, err, list(json.loads(text)["stems"])) == (0, "", ["source1", "source2"])
    code, _, err = run("separate", tmp_path / "none.wav", "-q")
    assert (code, err.count("\n")) == (3, 1)


@pytest.mark.parametrize(
    ("more", "said"),
    [((), 1), (("-q",), 0), (("--progress", "none"), 0), (("--progress", "json"), 0)],
)
def test_what_the_library_logs_is_a_note(run, mixture, tmp_path, monkeypatch, more, said):
    monkeypatch.setattr(forewarning, "_FEW", 1)
    monkeypatch.setattr(forewarning, "_MEASURED_SECONDS", 0.0)
    monkeypatch.setattr(forewarning, "_LONG_SECONDS", 0.0)
    code, _, err = run("separate", mixture, "-n", 2, "-o", tmp_path / "o", *TINY_OPTIONS, *more)
    assert code == 0
    assert err.count("audionmf: note: 2 sources: ") == said
