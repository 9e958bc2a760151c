"""A command line that helps: what was meant, what to type, one screen of help, completion."""

import contextlib
import json
import os
import re
import select
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import sound, two_notes

from audionmf import cli
from audionmf.cli import main_parser
from audionmf.cli.briefly import brief
from audionmf.cli.parsing import nearest
from audionmf.io.files import no_such_file

COMMANDS = main_parser().commands.choices
SCREEN = 45


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_the_same_whether_others_are_there_or_not(name):
    (alone,) = main_parser(name).commands.choices.values()
    assert alone.format_help() == COMMANDS[name].format_help()
    assert alone.prog == COMMANDS[name].prog


def test_only_what_is_asked_for_is_made_into_a_parser(monkeypatch):
    made = []

    def parser(*names):
        made.append(names)
        return main_parser(*names)

    monkeypatch.setattr(cli, "main_parser", parser)
    for words in (["info", "nowhere.wav"], ["nowhere"], ["completion", "bash"], ["--version"]):
        with contextlib.suppress(SystemExit):
            cli.main(words)
    assert made == [("info",), (), (), ()]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("seperate", "x.wav"), "there is no command 'seperate'; did you mean 'separate'?"),
        (("split", "x.wav"), "did you mean 'separate'?"),
        (("mix.wav",), "a command comes first: audionmf separate mix.wav"),
        (("my mix.flac",), "a command comes first: audionmf separate 'my mix.flac'"),
        (("separate", "x.wav", "--n-source", "3"), "did you mean --n-sources?"),
        (("separate", "x.wav", "--n-source=3"), "did you mean --n-sources?"),
        (("separate", "x.wav", "--threads", "3"), "did you mean --n-threads?"),
        (("separate", "x.wav", "--quality", "bests"), "did you mean 'best'?"),
        (("remix", "x.wav", "--gian", "a=1"), "did you mean --gain?"),
        (("--verison",), "did you mean --version?"),
        (("separate", "x.wav", "-n", "three"), "-n/--n-sources: a whole number, not 'three'"),
        (("separate", "x.wav", "-x"), "there is no option -x"),
        (("decompose", "x.wav", "-n", "4"), "there is no option -n; did you mean --n-components?"),
        (("completion", "bash", "zsh"), "there is no place for 'zsh'"),
        (("separate",), "missing: INPUT"),
        ((), "a command is missing, such as: audionmf separate mix.wav; see audionmf --help"),
        (("separate", "x.wav", "--example", "a b.wav"), "did you mean 'a b=a b.wav'?"),
    ],
)
def test_an_error_says_what_was_meant(run, arguments, hint):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert hint in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("word", ["--overwrite", "--sr", "--force", "--no-notes", "--wav", "--log"])
def test_an_option_that_is_only_somewhat_alike_was_not_meant(run, word):
    code, _, err = run("separate", "x.wav", word)
    assert code == 2
    assert f"there is no option {word}" in err
    assert "did you mean" not in err


def test_an_option_that_lacks_a_letter_or_goes_on_was_meant():
    options = [o for o in COMMANDS["separate"]._option_string_actions if len(o) > 6]
    assert len(options) > 50
    for option in options:
        for k in range(4, len(option)):
            assert nearest(option[:k] + option[k + 1 :], options) == option
    assert nearest("--outdir", ["--only", "--out"]) == "--out"
    assert nearest("--temp", ["--tempo", "--templates"]) == "--tempo"


@pytest.mark.parametrize(
    ("name", "typed"),
    [("a.npz", "info a.npz"), ("a.mid", "separate RECORDING --midi a.mid"), ("a", "separate a")],
)
def test_a_file_instead_of_a_command_says_what_is_done_with_it(
    run, tmp_path, monkeypatch, name, typed
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).touch()
    code, _, err = run(name)
    assert code == 2
    assert f"audionmf {typed};" in err


def test_a_file_that_is_not_there_is_told_with_the_one_beside_it(run, mixture, tmp_path):
    example = sound(tmp_path / "harp.flac", two_notes())
    words = ("separate", mixture, "-o", tmp_path / "o", "--example")
    code, _, err = run(*words, f"harp={example.with_suffix('.wav')}")
    wanted = str(example.with_suffix(".wav"))
    assert code == 3
    assert err == f"audionmf: error: {wanted!r}: there is no such file; did you mean 'harp.flac'?\n"
    _, _, err = run(*words, f"harp={tmp_path / 'gone' / 'a.wav'}")
    assert "there is no such file; check the path" in err


def test_what_is_nothing_like_a_command_names_them_all(run):
    _, _, err = run("blah")
    for command in COMMANDS:
        assert command in err


@pytest.mark.parametrize("command", ["separate", "remix", "notes"])
def test_n_is_short_for_n_sources(command):
    needed = ("--gain", "a=1", "-o", "x.wav") if command == "remix" else ()
    assert main_parser().parse_args([command, "x.wav", *needed, "-n", "3"]).n_sources == 3


def test_a_tilde_goes_home_where_the_shell_leaves_it(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    options = main_parser().parse_args(
        ["separate", "x.wav", "--out=~/x", "--example", "a=~/a.wav", "--midi=~/b.mid",
         "--templates", "~/c.npz", "--only", "~"]
    )  # fmt: skip
    assert options.out == "/home/me/x"
    assert options.example == [("a", "/home/me/a.wav")]
    assert (options.midi, options.templates) == ("/home/me/b.mid", ["/home/me/c.npz"])
    assert options.only == "~"  # a name is no path
    assert main_parser().parse_args(["separate", "x.wav", "-o~/x"]).out == "/home/me/x"


# --- help


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_the_help_is_one_screen(run, command):
    code, text, _ = run(*([command] if command else []), "-h")
    assert code == 0
    assert sum(max(1, -(-len(line) // 80)) for line in text.splitlines()) <= SCREEN


@pytest.mark.parametrize("command", COMMANDS)
def test_the_full_help_has_every_option_and_every_example(run, command):
    code, text, _ = run(command, "--help-all")
    assert code == 0
    for action in COMMANDS[command]._actions:
        for name in action.option_strings:
            assert re.search(rf"(^|[ ,]){re.escape(name)}\b", text), name
    assert COMMANDS[command].epilog.rstrip() in text


@pytest.mark.parametrize("command", COMMANDS)
def test_no_description_says_a_thing_twice(command):
    words = re.findall(r"[\w-]+", COMMANDS[command].description.lower())
    spoken = [tuple(words[i : i + 8]) for i in range(len(words) - 7)]
    assert len(spoken) == len(set(spoken))


def test_the_short_help_tells_the_defaults_of_its_command():
    def told(command, name):
        [action] = [a for a in COMMANDS[command]._actions if name in a.option_strings]
        return brief(action).help

    assert told("notes", "--n-sources").endswith("(default: the recording is one source)")
    assert told("separate", "--n-sources").endswith("(default: as many as fit)")
    assert told("notes", "--export").endswith("(default: midi,labels,csv)")
    assert "default" not in told("separate", "--export")
    assert "False" not in told("notes", "--lead")


def test_the_short_help_counts_what_it_leaves_out(run):
    _, text, _ = run("separate", "-h")
    left_out = int(re.search(r"(\d+) more options", text)[1])
    named = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, re.MULTILINE))
    options = [a for a in COMMANDS["separate"]._actions if a.option_strings]
    assert left_out == len(options) - len(named) > 20
    assert {"--example", "--out", "--n-sources"} <= named


def test_the_short_help_lists_the_choices_that_are_taken():
    for command, parser in COMMANDS.items():
        for action in parser._actions:
            short = brief(action)
            if action.choices and action.option_strings and short.choices is None:
                listed = next(p for p in re.split(r" \(|: ", short.help) if " or " in p)
                assert re.split(", | or ", listed) == list(action.choices), command


def test_effort_is_asked_where_it_changes_something(run):
    for command, parser in COMMANDS.items():
        options = parser._option_string_actions
        assert "--quality" not in options or "--adapt-iter" in options, command
    code, _, err = run("morph", "a.wav", "b.wav", "-o", "c.wav", "--quality", "fast")
    assert code == 2
    assert "there is no option --quality" in err


def test_most_used_options_are_options():
    for parser in COMMANDS.values():
        known = parser._option_string_actions
        assert [name for name in parser.most_used if name not in known] == []


# --- completion


def completed(script, *words):
    """Return what bash offers for the last of some words."""
    asked = (
        f'{script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _audionmf; echo "${{COMPREPLY[@]}}"'
    )
    made = subprocess.run(
        ["bash", "-c", asked, "bash", "audionmf", *words],
        capture_output=True, text=True, check=True, timeout=20,
    )  # fmt: skip
    assert made.stderr == ""
    return made.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
def test_bash_completes_commands_options_and_values(run):
    code, script, _ = run("completion", "bash")
    assert code == 0
    assert completed(script, "se") == ["separate"]
    assert {*COMMANDS, "--version"} <= set(completed(script, ""))
    assert set(completed(script, "separate", "--n-")) == {
        "--n-sources", "--n-fft", "--n-components", "--n-threads",
    }  # fmt: skip
    assert completed(script, "separate", "x.wav", "--quality", "b") == ["balanced", "best"]
    assert completed(script, "separate", "--quality", "=", "b") == ["balanced", "best"]
    assert completed(script, "separate", "--quality", "=") == ["fast", "balanced", "best"]
    assert completed(script, "separate", "--mask", "") == ["wiener", "soft", "binary"]
    assert completed(script, "separate", "--model", "p") == ["patterns"]
    assert completed(script, "evaluate", "a", "b", "--match", "") == ["auto", "name", "best"]
    assert completed(script, "completion", "z") == ["zsh"]
    assert completed(script, "separate", "--example", "") == []  # files, by default


def test_zsh_completes_the_file_behind_a_name(run, tmp_path):
    _, script, _ = run("completion", "zsh")
    offered = re.findall(r"^ +'\*--(?:example|kit)\[.*\]:value:(.*)' ", script, re.M)
    assert '{compset -P "*="; _files}' in offered
    if shutil.which("zsh") is None:
        return
    pty = pytest.importorskip("pty")
    (tmp_path / "_audionmf").write_text(script)
    (tmp_path / "flute.wav").touch()
    (tmp_path / ".zshrc").write_text(
        "PS1=; fpath=($ZDOTDIR $fpath); autoload -Uz compinit; compinit -u -d dump; print re''ady\n"
    )
    ours, theirs = pty.openpty()
    env = {"ZDOTDIR": str(tmp_path), "PATH": os.environ["PATH"], "TERM": "vt100"}
    shell = subprocess.Popen(
        ["zsh", "-i"], cwd=tmp_path, env=env, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    try:
        until(ours, "ready")
        os.write(ours, b"audionmf separate --example a=fl\t")
        until(ours, "a=flute.wav")
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)
        os.close(theirs)


def until(terminal, wanted):
    """Read what a terminal shows until something is there."""
    shown = ""
    while wanted not in shown:
        ready, _, _ = select.select([terminal], [], [], 20)
        assert ready, shown
        shown += os.read(terminal, 4096).decode(errors="replace")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_option_and_its_shell_reads_it(run, tmp_path, shell):
    _, script, _ = run("completion", shell)
    for name, parser in COMMANDS.items():
        assert name in script
        for option in parser._option_string_actions:
            bare = option.lstrip("-") if shell == "fish" else option
            assert re.search(rf"(?<![\w-]){re.escape(bare)}(?![\w-])", script), option
    if shutil.which(shell):
        path = tmp_path / "script"
        path.write_text(script)
        done = subprocess.run([shell, "-n", path], capture_output=True, timeout=20, check=False)
        assert (done.returncode, done.stderr) == (0, b"")


QUICK = ("--n-fft", 256, "--n-threads", 1)


def test_only_changes_nothing_about_how_many_sources_are_found(run, mixture, tmp_path):
    found = []
    for i, only in enumerate([(), ("--only", "source1")]):
        arguments = ("-o", tmp_path / f"{i}", "--json", "--names", "plain", *QUICK, *only)
        code, text, err = run("separate", mixture, *arguments)
        assert code == 0, err
        found.append(json.loads(text))
    assert found[0]["remarks"] == found[1]["remarks"]
    assert found[0]["divergence"] == found[1]["divergence"]
    assert list(found[1]["stems"]) == ["source1", "rest"]


def test_what_is_said_of_stems_is_said_of_those_that_are_written(run, mixture, tmp_path):
    out = tmp_path / "out"
    options = ("-o", out, "--names", "plain", "--n-sources", 3, "--only", "source2", *QUICK)
    code, text, err = run("separate", mixture, *options)
    assert code == 0, err
    assert re.findall(r"^ +'(.*)': \d+% of the energy", text, re.M) == ["source2", "rest"]
    assert sorted(path.stem for path in out.rglob("*.wav")) == ["rest", "source2"]


def test_a_question_ends_before_the_way_to_the_help(run):
    for command in (("separat",), ("separate", "a.wav", "--qualty", "best")):
        _, _, err = run(*command)
        assert "? See audionmf" in err
        assert "?;" not in err


@pytest.mark.parametrize(
    ("beside", "meant"),
    [
        (("hiss.wav", "mix.wav"), None),  # only the ending is alike
        (("hiss.wav", "Mising.wav"), "Mising.wav"),
        (("missing.mid", "missing.wave"), "missing.wave"),
        (("missing-2.wav", "missin.flac"), "missin.flac"),
    ],
)
def test_only_a_name_that_is_near_is_offered_for_a_file(tmp_path, beside, meant):
    for name in beside:
        (tmp_path / name).touch()
    told = no_such_file(tmp_path / "missing.wav").split("no such file; ")[1]
    assert told == (f"did you mean {meant!r}?" if meant else "check the path")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("separate", "nothing.wav"), "nothing.wav"),
        (("separate", "nothing.m4a"), "nothing.m4a"),
        (("separate", "mix.wav", "--example", "a=nothing.wav"), "nothing.wav"),
        (("separate", "mix.wav", "--templates", "nothing.npz"), "nothing.npz"),
        (("separate", "mix.wav", "--kit", "nothing.npz"), "nothing.npz"),
        (("separate", "mix.wav", "--midi", "nothing.mid"), "nothing.mid"),
        (("separate", "mix.wav", "--labels", "nothing.txt"), "nothing.txt"),
        (("regroup", "nothing.npz", "--group", "a=1"), "nothing.npz"),
        (("remix", "mix.wav", "--model", "nothing.npz", "--gain", "a=1", "-o", "x.wav"), "nothing.npz"),
        (("rerun", "nothing.json"), "nothing.json"),
        (("info", "nothing.json"), "nothing.json"),
        (("evaluate", "nothing.wav", "mix.wav"), "nothing.wav"),
        (("studio", "nothing.audionmf", "--no-browser"), "nothing.audionmf"),
    ],
)  # fmt: skip
def test_an_empty_file_is_said_to_be_empty(run, mixture, monkeypatch, words, name):
    monkeypatch.chdir(mixture.parent)
    Path(name).touch()
    code, _, err = run(*words)
    assert code in (2, 3, 5)  # the kind of file decides
    assert err.startswith(f"audionmf: error: {name!r} ")
    assert "empty" in err or "no labels" in err
    assert err.count("\n") == 1
