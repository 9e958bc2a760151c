"""The command line: exit codes, one line for each failure, results that programs can read."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import RATE, TINY_OPTIONS, child, files_below, sound, steps, tone, two_notes

from audionmf.settings import Settings

PLAIN = ("--names", "plain")
COMMANDS = (
    "separate", "remix", "denoise", "learn", "decompose", "regroup", "info", "oneshots", "mosaic",
    "morph",
)  # fmt: skip


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def template_file(tmp_path, run):
    example = sound(tmp_path / "low.wav", tone(330))
    path = tmp_path / "low.npz"
    assert run("learn", example, "-o", path, "--n-components", 3, *TINY_OPTIONS)[0] == 0
    return path


@pytest.fixture
def model_file(mixture, tmp_path, run):
    arguments = ("-o", tmp_path / "parts", "--n-components", 3, *TINY_OPTIONS)
    assert run("decompose", mixture, *arguments)[0] == 0
    return tmp_path / "parts" / "mix" / "model.npz"


def separate(run, *arguments):
    return run("separate", *arguments, *TINY_OPTIONS)


def assert_one_line(err, *parts):
    assert re.fullmatch(r"audionmf[^\n]*\n", err), err
    assert "Traceback" not in err
    for part in parts:
        assert str(part) in err


# --- what works


def test_separate_prints_the_folder_first_and_then_the_stems(run, mixture, out):
    code, text, err = separate(run, mixture, "--n-sources", 2, "--names", "plain", "-o", out)
    assert (code, err) == (0, "")
    lines = text.splitlines()
    assert lines[:3] == [str(out), "  mix/source1.wav", "  mix/source2.wav"]
    said = ["told", "7", "'source1':", "'source2':", "the", "not"]
    assert [line.split()[0] for line in lines[3:]] == said
    stems = [steps(out / "mix" / f"source{i}.wav") for i in (1, 2)]
    assert np.abs(sum(stems) - steps(mixture)).max() <= 2.0**-15
    assert files_below(out) == ["mix/manifest.json", "mix/source1.wav", "mix/source2.wav"]


def test_separate_as_json_is_one_object_a_line(run, mixture, out, tmp_path):
    other = sound(tmp_path / "in" / "other.wav", two_notes(2))
    code, text, err = separate(run, mixture, other, "--n-sources", 2, *PLAIN, "-o", out, "--json")
    assert (code, err) == (0, "")
    first, second = map(json.loads, text.splitlines())
    assert (first["input"], second["input"]) == (str(mixture), str(other))
    assert first["stems"] == {f"source{i}": str(out / "mix" / f"source{i}.wav") for i in (1, 2)}
    assert first["gain"] == 1
    assert len(first["divergence"]) > 1


def test_separate_with_templates_an_example_and_free_components(
    run, mixture, out, template_file, tmp_path
):
    example = sound(tmp_path / "high.wav", tone(880))
    arguments = ("--templates", template_file, "--example", f"high={example}", "--free", 2)
    code, _, err = separate(
        run, mixture, "-o", out, *arguments, "--filename", "{source}.{ext}", "--format", "flac"
    )
    assert (code, err) == (0, "")
    assert files_below(out) == ["high.flac", "low.flac", "mix.manifest.json", "other.flac"]


def test_learn_writes_a_template_file(run, mixture, tmp_path):
    path = tmp_path / "new" / "bank.npz"
    arguments = ("-o", path, "--name", "both", "--n-components", 3, *TINY_OPTIONS)
    code, text, err = run("learn", mixture, *arguments, "--json")
    assert (code, err) == (0, "")
    assert json.loads(text) == {
        "templates": str(path),
        "n_components": 3,
        "labels": ["both"],
        "sample_rate": RATE,
    }
    assert files_below(tmp_path / "new") == ["bank.npz"]


def test_learn_takes_a_folder_and_names_the_source_after_it(run, tmp_path, monkeypatch):
    for name, pitch in (("a", 440), ("b", 660)):
        sound(tmp_path / "kicks" / f"{name}.wav", tone(pitch))
    monkeypatch.chdir(tmp_path)
    code, out, err = run("learn", "kicks", "--json", *TINY_OPTIONS)
    assert code == 0, err
    assert json.loads(out)["labels"] == ["kicks"]
    assert (tmp_path / "kicks.npz").exists()


def test_learn_names_the_source_and_the_file_after_the_input(run, mixture, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, text, _ = run("learn", mixture, "--n-components", 3, *TINY_OPTIONS)
    assert code == 0
    assert text.splitlines() == [str(tmp_path / "mix.npz"), "  3 templates of 'mix'"]


def test_decompose_and_regroup(run, model_file, tmp_path, out):
    code, text, err = run("regroup", model_file, "--group", "a=0,2", "-o", out, "--json")
    assert (code, err) == (0, "")
    found = json.loads(text)
    assert found["grouping"] == {"a": [0, 2], "rest": [1]}
    assert sorted(found["stems"]) == ["a", "rest"]
    assert files_below(out) == ["mix/a.wav", "mix/manifest.json", "mix/rest.wav"]


def test_decompose_as_json_names_every_file(run, mixture, out):
    code, text, _ = run("decompose", mixture, "-o", out, "--json", *TINY_OPTIONS)
    assert code == 0
    found = json.loads(text)
    named = sorted([*found["stems"].values(), *found["files"]])
    assert named == [str(out / name) for name in files_below(out)]


def test_info_in_words_and_as_json(run, mixture, template_file, model_file):
    code, text, err = run("info", mixture, template_file, model_file)
    assert (code, err) == (0, "")
    for words in ("is an audio file", "is a template file", "is a model"):
        assert words in text
    code, text, _ = run("info", mixture, template_file, model_file, "--json")
    kinds = [json.loads(line)["kind"] for line in text.splitlines()]
    assert (code, kinds) == (0, ["audio", "templates", "model"])


def test_a_common_gain_is_said_and_is_in_the_json(run, tmp_path, out, monkeypatch):
    from audionmf.batch import job as jobs
    from audionmf.rendering import stems

    render = jobs.render_to_files

    def louder(*arguments, **options):
        files, trust = render(*arguments, **options)
        return stems.StemFiles(files.paths, 0.5), trust

    monkeypatch.setattr(jobs, "render_to_files", louder)
    path = sound(tmp_path / "mix.wav", two_notes())
    code, text, err = separate(run, path, "--n-sources", 2, "-o", out, "--json")
    assert code == 0
    assert json.loads(text)["gain"] == 0.5
    assert_one_line(err, "scaled by 0.5", repr(str(path)))


@pytest.mark.parametrize("name", ["with space.wav", "it's.wav", "two\nlines.wav", "Größe 音.wav"])
def test_odd_names_work(run, tmp_path, out, name):
    path = sound(tmp_path / "in" / name, two_notes())
    code, _, err = separate(run, path, "--n-sources", 2, "-o", out)
    assert (code, err) == (0, "")
    assert len(files_below(out)) == 3
    assert run("info", path)[0] == 0


# --- what fails: one line, and its exit code


def bad_input(kind, folder):
    """Make an input that cannot be worked on."""
    path = folder / "bad input.wav"
    folder.mkdir(exist_ok=True)
    if kind == "text":
        path.write_text("a shopping list\nwith two lines\n")
    elif kind == "nothing":
        path.touch()
    elif kind == "no samples":
        sound(path, np.zeros((1, 0)))
    elif kind == "NaN":
        sound(path, np.full((1, 999), np.nan), "FLOAT")
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a dangling link":
        path.symlink_to("nowhere")
    elif kind == "a looping link":
        path.symlink_to(path)
    elif kind == "1 Hz":
        sound(path, two_notes(), rate=1)
    elif kind == "65 channels":
        sound(path, np.zeros((65, 999)))
    elif kind == "a long name":
        return folder / ("x" * 5000)
    return path


BAD_INPUTS = {
    "missing": 3,
    "text": 3,
    "nothing": 3,
    "no samples": 3,
    "NaN": 3,
    "a folder": 3,
    "a pipe": 3,
    "a dangling link": 3,
    "a looping link": 3,
    "1 Hz": 3,
    "a long name": 3,
    "65 channels": 6,
}


@pytest.mark.parametrize(("kind", "expected"), BAD_INPUTS.items())
@pytest.mark.parametrize("command", ["separate", "learn", "decompose", "info"])
def test_a_bad_input_is_one_line_and_leaves_nothing(run, tmp_path, out, kind, expected, command):
    path = bad_input(kind, tmp_path / "in")
    before = files_below(tmp_path)
    arguments = {
        "separate": ("--n-sources", 2, "-o", out),
        "learn": ("-o", out / "a.npz"),
        "decompose": ("-o", out),
        "info": (),
    }[command]
    code, _, err = run(command, path, *arguments)
    assert code == expected
    assert_one_line(err, repr(str(path)))
    assert files_below(tmp_path) == before


def test_an_unwritable_folder_is_code_4(run, mixture, template_file, model_file, tmp_path):
    (tmp_path / "file").touch()
    before = files_below(tmp_path)
    below = tmp_path / "file" / "below"
    for arguments in (
        ("separate", mixture, "--n-sources", 2, "-o", below),
        ("separate", mixture, "--n-sources", 2, "-o", tmp_path / "file"),
        ("learn", mixture, "-o", below / "a.npz"),
        ("decompose", mixture, "-o", below),
        ("regroup", model_file, "--group", "a=0", "-o", below),
    ):
        code, _, err = run(*arguments)
        assert code == 4
        assert_one_line(err, "could not be written", tmp_path / "file")
    assert files_below(tmp_path) == before


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_an_output_that_would_overwrite_the_input_is_code_4(run, tmp_path, out, link):
    path = sound(tmp_path / "in" / "source1.wav", two_notes())
    place = out / "source1" / "source1.wav"
    place.parent.mkdir(parents=True)
    source = path
    if link is None:
        source = path.rename(place)
    else:
        link(path, place)
    before = source.read_bytes(), files_below(tmp_path)
    code, _, err = run("separate", source, "--n-sources", 2, "-o", out)
    assert code == 4
    assert_one_line(err, "would overwrite the input")
    assert (source.read_bytes(), files_below(tmp_path)) == before


def test_templates_that_would_overwrite_the_recording_are_code_4(run, tmp_path):
    path = sound(tmp_path / "a.npz", two_notes())
    before = path.read_bytes()
    code, _, err = run("learn", path, "-o", path)
    assert code == 4
    assert_one_line(err, "would overwrite the input")
    assert path.read_bytes() == before


def test_templates_of_another_rate_are_code_5_and_name_both(run, tmp_path, out, template_file):
    path = sound(tmp_path / "mix.wav", two_notes(), rate=44100)
    code, _, err = run("separate", path, "--templates", template_file, "-o", out)
    assert code == 5
    assert_one_line(err, "8000 Hz", "44100 Hz", "learn")
    assert files_below(out) == []


def test_templates_of_another_stft_are_code_5_and_name_both(run, mixture, out, template_file):
    code, _, err = run("separate", mixture, "--templates", template_file, "--n-fft", 512, "-o", out)
    assert code == 5
    assert_one_line(err, "n_fft 256", "n_fft 512")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04broken", "cut", "flipped"])
def test_a_damaged_template_file_is_code_5(run, mixture, out, template_file, content):
    good = template_file.read_bytes()
    damaged = {"cut": good[:-40], "flipped": good[:300] + bytes(20) + good[320:]}
    template_file.write_bytes(damaged.get(content, content))
    code, _, err = separate(run, mixture, "--templates", template_file, "-o", out)
    assert code == 5
    assert_one_line(err, repr(str(template_file)))


def test_a_recording_as_a_model_or_template_file_is_code_5(run, mixture, out):
    for arguments in (
        ("separate", mixture, "--templates", mixture),
        ("regroup", mixture, "--group", "a=0"),
    ):
        code, _, err = run(*arguments, "-o", out)
        assert code == 5
        assert_one_line(err, repr(str(mixture)))


def test_a_missing_template_or_model_file_is_code_3(run, mixture, out, tmp_path):
    gone = tmp_path / "gone.npz"
    for arguments in (
        ("separate", mixture, "--templates", gone),
        ("separate", mixture, "--example", f"a={gone}"),
        ("regroup", gone, "--group", "a=0"),
    ):
        code, _, err = run(*arguments, "-o", out)
        assert code == 3
        assert_one_line(err, repr(str(gone)), "no such file")


def test_another_recording_than_the_models_is_code_5(run, mixture, model_file, out):
    sound(mixture, two_notes()[:, ::-1])
    code, _, err = run("regroup", model_file, "--group", "a=0", "-o", out)
    assert code == 5
    assert_one_line(err, "not the recording")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("sing",),
        ("separate",),
        ("separate", "MIX", "--nsources", "2"),
        ("separate", "MIX", "--n-source", "2"),
        ("separate", "MIX", "--n-sources", "two"),
        ("separate", "MIX", "--n-sources", "2", "--format", "mp4"),
        ("separate", "MIX", "--example", "no equals sign"),
        ("separate", "MIX", "--example", "=a.wav"),
        ("regroup", "MIX"),
    ],
)
def test_a_wrong_option_is_code_2(run, mixture, out, arguments):
    code, _, err = run(*(mixture if a == "MIX" else a for a in arguments))
    assert code == 2
    assert_one_line(err, "--help")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--free", "3"),
        ("--n-sources", "2", "--templates", "BANK"),
        ("--n-sources", "2", "--example", "a=MIX"),
        ("--n-sources", "2", "--free", "1"),
        ("--n-sources", "0"),
        ("--n-sources", "-1"),
        ("--n-sources", "100000"),
        ("--n-sources", "5", "--n-components", "4"),
        ("--templates", "BANK", "--free", "-1"),
        ("--n-sources", "2", "--n-components", "100000"),
        ("--n-sources", "2", "--n-components", "4000"),
        ("--n-sources", "2", "--n-fft", "1"),
        ("--n-sources", "2", "--hop-length", "0"),
        ("--n-sources", "2", "--hop-length", "256"),
        ("--n-sources", "2", "--window", "nonsense"),
        ("--n-sources", "2", "--beta", "nan"),
        ("--n-sources", "2", "--tol", "-1"),
        ("--n-sources", "2", "--max-iter", "0"),
        ("--n-sources", "2", "--mask-exponent", "0"),
        ("--n-sources", "2", "--n-threads", "0"),
        ("--n-sources", "2", "--seed", "-1"),
        ("--n-sources", "2", "--filename", "{source}"),
        ("--n-sources", "2", "--filename", "../{source}.{ext}"),
        ("--n-sources", "2", "--filename", "{source.__class__}.{ext}"),
        ("--n-sources", "2", "--filename", "{track}.{ext}"),
    ],
)
def test_a_bad_value_is_code_2_and_leaves_nothing(
    run, mixture, out, template_file, tmp_path, arguments
):
    filled = [a.replace("MIX", str(mixture)).replace("BANK", str(template_file)) for a in arguments]
    before = files_below(tmp_path)
    code, _, err = run("separate", mixture, "-o", out, "--max-iter", 5, *TINY_OPTIONS, *filled)
    assert code == 2
    assert_one_line(err)
    assert files_below(tmp_path) == before


@pytest.mark.parametrize("command", ["learn", "decompose"])
def test_more_components_than_frames_are_code_2(run, mixture, tmp_path, command):
    before = files_below(tmp_path)
    output = tmp_path / ("a.npz" if command == "learn" else "out")
    code, _, err = run(command, mixture, "-o", output, "--n-fft", 256, "--n-components", 65)
    assert code == 2
    assert_one_line(err, "65 components", "64 frames")
    assert files_below(tmp_path) == before


def test_a_bad_group_is_code_2(run, model_file, out):
    for group in ("a", "a=", "=1", "a=x", "a=9", "a=0-9", "a=1,1", "rest=0"):
        code, _, err = run("regroup", model_file, "--group", group, "-o", out)
        assert code == 2, group
        assert_one_line(err)
        assert files_below(out) == []


def test_a_silent_example_is_code_3(run, tmp_path):
    path = sound(tmp_path / "a.wav", np.zeros((1, 4000)))
    code, _, err = run("learn", path, "-o", tmp_path / "a.npz", *TINY_OPTIONS)
    assert code == 3
    assert "is silent; nothing can be learnt" in err
    assert files_below(tmp_path) == ["a.wav"]


def test_a_silent_file_is_a_warning_and_with_strict_a_failure(run, tmp_path, out):
    path = sound(tmp_path / "in" / "silent.wav", np.zeros((1, 4000)))
    code, _, err = separate(run, path, "--n-sources", 2, "-o", out, "--strict")
    assert code == 3
    assert_one_line(err, "error: ", "silent")
    assert files_below(out) == []
    code, _, err = separate(run, path, "--n-sources", 2, "-o", out)
    assert code == 0
    assert_one_line(err, "warning: ", "silent")
    assert len(files_below(out)) == 3


# --- several inputs


def test_two_inputs_that_give_one_output_are_code_4(run, tmp_path, out):
    paths = [sound(tmp_path / folder / "mix.wav", two_notes()) for folder in ("a", "b")]
    way = ("--n-sources", 2, "--filename", "{source}.{ext}")
    code, _, err = run("separate", *paths, "-o", out, *way, *TINY_OPTIONS)
    assert code == 4
    assert_one_line(err, "would both be written")
    assert files_below(out) == []


@pytest.mark.parametrize("command", ["decompose", "notes"])
def test_an_input_given_twice_is_code_4(run, mixture, out, command):
    code, _, err = run(command, mixture, mixture, "-o", out, *TINY_OPTIONS)
    assert code == 4
    assert_one_line(err, "two outputs would be the same file")
    assert files_below(out) == []


@pytest.mark.parametrize("command", ["separate", "decompose", "info"])
@pytest.mark.parametrize("first", [True, False])
def test_one_bad_input_of_two_is_code_1_and_the_other_is_done(
    run, mixture, tmp_path, out, command, first
):
    bad = bad_input("NaN", tmp_path / "in")
    paths = [bad, mixture] if first else [mixture, bad]
    way = {
        "separate": ("--n-sources", 2, "-o", out, *TINY_OPTIONS),
        "decompose": ("-o", out, *TINY_OPTIONS),
        "info": (),
    }
    code, text, err = run(command, *paths, *way[command])
    assert code == 1
    failure, summary = err.splitlines()
    assert repr(str(bad)) in failure
    assert summary.startswith("audionmf: 1 of 2 inputs failed")
    assert "mix" in text
    assert command == "info" or files_below(out)
    assert {name.partition("/")[0] for name in files_below(out)} <= {"mix", ".audionmf"}


# --- help


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_answers_with_examples(run, command):
    code, text, err = run(command, "--help")
    assert (code, err) == (0, "")
    assert "examples:" in text
    assert f"audionmf {command}" in text
    assert max(map(len, text.splitlines())) <= 110


def test_the_main_help_names_every_command_and_every_exit_code(run):
    code, text, _ = run("--help")
    assert code == 0
    for command in COMMANDS:
        assert re.search(rf"^ +{command}\b", text, re.MULTILINE)
    for number in (0, 1, 2, 3, 4, 5, 6, 130):
        assert re.search(rf"\b{number} \w", text)


def test_every_setting_is_an_option_with_a_help_text(run):
    _, text, _ = run("separate", "--help-all")
    for name in Settings.__dataclass_fields__:
        assert re.search(rf"--{name.replace('_', '-')}[ ,]", text)


def test_the_version_is_printed(run):
    from audionmf import __version__

    assert run("--version") == (0, f"audionmf {__version__}\n", "")


def test_debug_shows_where_an_error_came_from(run, tmp_path):
    code, _, err = run("info", tmp_path / "gone.wav", "--debug")
    assert code == 3
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("audionmf: error:")


def test_an_unexpected_error_is_one_line_too(run, mixture, monkeypatch):
    from audionmf.show import info  # what `info` asks

    def fail(_):
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(info, "describe", fail)
    code, _, err = run("info", mixture)
    assert code == 1
    assert_one_line(err, "unexpected ZeroDivisionError: two lines", "--debug")


# --- real processes


def test_python_m_works_and_an_error_is_one_line_there_too(tmp_path, mixture, out):
    named = ("--names", "plain", "-o", str(out))
    arguments = ("separate", str(mixture), "--n-sources", "2", *named, *TINY_OPTIONS)
    result = child("-m", "audionmf", *arguments)
    assert (result.returncode, result.stderr) == (0, b"")
    assert files_below(out) == ["mix/manifest.json", "mix/source1.wav", "mix/source2.wav"]
    result = child("-m", "audionmf", "info", str(tmp_path / "gone.wav"))
    assert result.returncode == 3
    assert_one_line(result.stderr.decode(), "gone.wav")


def test_the_same_bytes_from_one_and_from_several_threads(run, mixture, tmp_path):
    for threads in ("1", "3"):
        arguments = ("--n-sources", 2, "-o", tmp_path / threads, *TINY_OPTIONS)
        assert run("separate", mixture, *arguments, "--n-threads", threads)[0] == 0
    for name in files_below(tmp_path / "1"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def test_names_that_are_not_utf_8_work_in_the_c_locale(tmp_path, out):
    path = sound(tmp_path / "in" / os.fsdecode(b"caf\xe9 \xc3\xa9.wav"), two_notes())
    environment = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    arguments = ("separate", os.fsencode(path), "--n-sources", "2", "-o", str(out), *TINY_OPTIONS)
    result = child("-m", "audionmf", *arguments, env=environment)
    assert (result.returncode, result.stderr) == (0, b"")
    assert len(files_below(out)) == 3


FULL_DISK = """
import resource, signal, sys
import audionmf.batch.job
from audionmf.cli import main
command = sys.argv[3:]
if main([a.replace("OUT", sys.argv[2]) for a in command]):  # compiled code is kept from here on
    sys.exit("the run before failed")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
sys.exit(main([a.replace("OUT", sys.argv[1]) for a in command]))
"""


@pytest.mark.parametrize("command", ["separate", "learn"])
def test_a_full_disk_is_code_4_and_leaves_nothing(tmp_path, mixture, out, command):
    way = {
        "separate": ("--n-sources", "2", "-o", "OUT"),
        "learn": ("-o", "OUT/a.npz", "--n-components", "20"),
    }
    arguments = (command, str(mixture), *way[command], *TINY_OPTIONS)
    result = child("-c", FULL_DISK, str(out), str(tmp_path / "before"), *arguments)
    assert result.returncode == 4
    assert_one_line(result.stderr.decode(), "could not be written", os.strerror(errno.EFBIG))
    assert files_below(out) == []


LONG_RUN = """
import sys
from audionmf import cli
from audionmf.batch import job as jobs
from audionmf.cli import telling
def tell(self, state):
    if state.current.endswith(f": {sys.argv[1]}"):
        print("computing", flush=True)
telling.Teller.progress = tell
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("stage", "number", "expected"),
    [("factorise", signal.SIGINT, 130), ("render", signal.SIGTERM, 143)],
    ids=["INT", "TERM"],
)
def test_a_signal_ends_a_long_run_within_two_seconds_and_leaves_nothing(
    tmp_path, out, stage, number, expected
):
    rng = np.random.default_rng(0)
    path = sound(tmp_path / "long.wav", rng.uniform(-0.5, 0.5, (1, 900_000)))
    iterations = "1" if stage == "render" else "100000"
    options = (
        "--max-iter",
        iterations,
        "--tol",
        "0",
        "--n-fft",
        "1024",
        "--activation-iter",
        "300",
        "--n-components",
        "16",
    )
    arguments = ("separate", str(path), "--n-sources", "2", "-o", str(out), *options)
    with subprocess.Popen(
        [sys.executable, "-c", LONG_RUN, stage, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        for line in process.stdout:
            if line == b"computing\n":
                break
        start = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        seconds = time.monotonic() - start
    assert process.returncode == expected
    assert err.decode().count("\n") <= 1
    assert "Traceback" not in err.decode()
    assert seconds < 2
    assert files_below(out) == []


@pytest.mark.parametrize("arguments", [("--help",), ("separate", "--help"), ("info", "MIX")])
def test_a_reader_that_is_gone_is_silence(mixture, arguments):
    filled = [str(mixture) if a == "MIX" else a for a in arguments]
    reading, writing = os.pipe()
    os.close(reading)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    with os.fdopen(writing, "wb") as closed:
        process = subprocess.run(
            [sys.executable, "-m", "audionmf", *filled],
            stdout=closed,
            stderr=subprocess.PIPE,
            env=environment,
            timeout=60,
            check=False,
        )
    assert process.stderr == b""
    assert process.returncode == 141


def test_main_leaves_the_signal_handler_of_its_caller_as_it_was(run, mixture):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert run("info", mixture)[0] == 0
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
