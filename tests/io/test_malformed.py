"""Damaged and hostile files through the command line: each ends as promised, and quickly.

A helper process imports the package once and forks a child for each file, under a limit of memory
and time. So a crash in native code ends one child, and its signal is seen here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import malformed
import pytest
from conftest import TINY_OPTIONS, files_below

CASES = {case.name: case for case in malformed.CASES}
MOST_MEGABYTES, MOST_REFUSING = 500, 300
MOST_SECONDS = 40

DECODER = ("Note: ", "Warning: Xing", "[src/libmpg123/", "\tThis", "main: [src")
"""How lines of the MP3 decoder start, which writes to standard error by itself."""

HELPER = """
import gc, importlib, json, os, pkgutil, resource, signal, sys, time

sys.argv.pop(0)
import audionmf
from audionmf.cli import main, progress
from audionmf.cli.common import fail
from audionmf.sources.score import read_score
progress._LINE_SECONDS = float("inf")  # a busy machine may take any time without a word
warm_up, cases, limit = json.load(sys.stdin)
silent = os.open(os.devnull, os.O_WRONLY)
told = os.dup(1)
os.dup2(silent, 1)
for wing in ("io", "nmf", "sources", "rendering", "analysis", "separation", "batch", "cli"):
    for file in pkgutil.iter_modules([f"{os.path.dirname(audionmf.__file__)}/{wing}"]):
        if file.name != "fused":  # which needs what cards need
            importlib.import_module(f"audionmf.{wing}.{file.name}")  # or many a child would
if main(warm_up):  # after all is loaded: what is found out once then stays true in the children
    sys.exit("the good file failed")
gc.collect()
gc.freeze()  # children share what nobody touches
in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()

def read(path):
    try:
        read_score(path)
    except Exception as error:
        return fail(error, debug=False)
    return 0

def work(arguments, stderr):
    resource.setrlimit(resource.RLIMIT_AS, (in_use + (1 << 30),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(limit)
    os.dup2(os.open(stderr, os.O_CREAT | os.O_WRONLY), 2)
    try:
        code = read(*arguments[1:]) if arguments[0] == "score" else main(arguments)
    except SystemExit as stop:
        code = stop.code
    os._exit(code)

for name, arguments, stderr in cases:
    start = time.monotonic()
    child = os.fork()
    if not child:
        work(arguments, stderr)
    _, status, usage = os.wait4(child, 0)
    found = [name, os.waitstatus_to_exitcode(status), usage.ru_maxrss / 1024]
    os.write(told, (json.dumps([*found, time.monotonic() - start]) + "\\n").encode())
"""


def arguments_for(case, path, mixture, out):
    way = {
        malformed.SEPARATE: (path, "--n-sources", "2"),
        malformed.TEMPLATES: (mixture, "--templates", path),
        malformed.LABELS: (mixture, "--labels", path),
        malformed.MODEL: (path, "--group", "a=0", "--mixture", mixture),
        malformed.SCORE: (),
    }[case.command]
    if case.command == malformed.SCORE:
        return ["score", str(path)]
    if case.command == malformed.MODEL:
        return ["regroup", *map(str, way), "-o", str(out)]
    few = ("--n-components", "4") if case.command == malformed.SEPARATE else ()
    return ["separate", *map(str, way), "-o", str(out), *few, *TINY_OPTIONS]


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Run every case; return its folder, exit code, megabytes and seconds by its name."""
    root = tmp_path_factory.mktemp("malformed")
    mixture = root / "mix.wav"
    mixture.write_bytes(malformed.MIXTURE)
    jobs = []
    for number, case in enumerate(CASES.values()):
        folder = root / f"{number}"
        folder.mkdir()
        path = folder / "the file"
        path.write_bytes(case.content)
        arguments = arguments_for(case, path, mixture, folder / "out")
        jobs.append((case.name, arguments, str(folder / "stderr")))
    warm_up = ["separate", str(mixture), "--n-sources", "2", "-o", str(root / "first")]
    helper = subprocess.run(
        [sys.executable, "-B", "-c", HELPER],
        input=json.dumps([[*warm_up, *TINY_OPTIONS], jobs, MOST_SECONDS]).encode(),
        capture_output=True,
        timeout=600,
        check=False,
    )
    assert helper.returncode == 0, helper.stderr.decode()
    folders = {name: Path(stderr).parent for name, _, stderr in jobs}
    told = map(json.loads, helper.stdout.splitlines())
    return {name: (folders[name], *rest) for name, *rest in told}


def test_there_are_many_of_them_and_they_are_the_same_every_time():
    assert len(CASES) == len(malformed.CASES) >= 80
    assert malformed._all() == malformed.CASES
    kinds = Counter(case.command for case in malformed.CASES)
    assert kinds[malformed.SEPARATE] >= 80
    assert min(kinds.values()) >= 8


@pytest.mark.parametrize("name", CASES)
def test_it_ends_as_promised(ended, name):
    case = CASES[name]
    folder, code, megabytes, seconds = ended[name]
    said = (folder / "stderr").read_text()
    assert code == case.code, said
    assert seconds < MOST_SECONDS
    assert megabytes < (MOST_REFUSING if code else MOST_MEGABYTES)
    lines = [line for line in said.splitlines() if not line.startswith(DECODER)]
    assert all(line.startswith("audionmf: ") for line in lines), said
    errors = [line for line in lines if line.startswith("audionmf: error: ")]
    assert len(errors) == (1 if code else 0)
    warned = [line for line in lines if line.startswith("audionmf: warning: ")]
    assert code or len(warned) == (1 if case.said else 0)
    assert len(errors) + len(warned) == sum("were scaled by" not in line for line in lines)
    assert case.said in said
    written = files_below(folder / "out") if (folder / "out").exists() else []
    if code:
        mixture = case.command in (malformed.LABELS, malformed.MODEL) and "mix.wav" in errors[0]
        assert mixture or repr(str(folder / "the file")) in errors[0]
        assert written == []
    else:
        assert written or case.command == malformed.SCORE
