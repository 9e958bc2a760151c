"""What happens to a batch when it is killed, interrupted, out of disk, or left by its reader.

Everything happens in child processes. A child that has loaded the package forks for each run, which
takes a hundredth of the time of a start; what it forks runs the command line and ends by itself, or
by the signal that it sends to itself at a chosen point of its work.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from conftest import child, files_below, sound, tone, two_notes

from audionmf.io.lock import FolderLock

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks, and signals of POSIX")

OPTIONS = ("--n-sources", "2", "--n-components", "2", "--n-fft", "64", "--max-iter", "2",
           "--n-threads", "1", "--names", "plain")  # fmt: skip

SERVER = """
import contextlib, io, json, os, signal, sys
import audionmf.batch.run, audionmf.batch.perform
from audionmf import cli
from audionmf.io import audio
from audionmf.io import files
from audionmf.batch import journal
from audionmf.io import lock
from audionmf.cli import telling

points, stop, sign = [], None, None

def point(name):
    points.append(name)
    at_count = isinstance(stop, int) and len(points) == stop
    if at_count or (isinstance(stop, str) and name == stop):
        os.kill(os.getpid(), sign)

def hooked(owner, name, label, after=False):
    work = getattr(owner, name)
    def hook(*arguments, **options):
        if not after:
            point(label)
        result = work(*arguments, **options)
        if after:
            point(label)
        return result
    setattr(owner, name, hook)

hooked(audio, "read_channels", "read")
hooked(audio.AudioWriter, "write", "write")
hooked(audio.AudioWriter, "finish", "finish")
hooked(files.Path, "replace", "rename")
hooked(os, "fsync", "fsync")
hooked(journal.Journal, "_append", "journal")
hooked(journal.Journal, "_append", "journal written", after=True)
hooked(lock.FolderLock, "_acquired", "lock", after=True)
telling.Teller.progress = lambda self, state: point(state.current.rpartition(": ")[2])

def run(order):
    global stop, sign
    stop, sign = order.get("stop"), order.get("signal", signal.SIGKILL)
    points.clear()
    for name in ("stdout", "stderr"):
        descriptor = os.open(order["log"] + "." + name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(descriptor, 1 if name == "stdout" else 2)
    if "limit" in order:
        import resource
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"], order["limit"]))
    if "user" in order and os.getuid() == 0:
        os.setgroups([])
        os.setgid(order["user"])
        os.setuid(order["user"])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    code = cli.main(order["arguments"])
    sys.stdout.flush()
    if order.get("points"):
        with open(order["log"] + ".points", "w") as stream:
            json.dump(points, stream)
    os._exit(code)

with contextlib.redirect_stdout(io.StringIO()):  # what is compiled now, no fork has to load
    cli.main(json.loads(sys.argv[1]))
print("ready", flush=True)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        try:
            run(json.loads(line))
        finally:
            os._exit(99)
    status = os.waitpid(pid, 0)[1]
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Server:
    """Runs the command line in forks of one child."""

    def __init__(self, folder):
        self.log = str(folder / "log")
        first = sound(folder / "first.wav", tone(300, 700))
        warm = ["separate", str(first), "-o", str(folder / "first"), *OPTIONS]
        self._process = subprocess.Popen(
            [sys.executable, "-B", "-c", SERVER, json.dumps(warm)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"

    def run(self, *arguments, **order):
        """Return the exit code; minus the signal that ended it."""
        order |= {"arguments": [str(a) for a in arguments], "log": self.log}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def told(self, kind="stderr"):
        return Path(f"{self.log}.{kind}").read_text()

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        assert self._process.wait(30) == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    for i in range(4):
        sound(folder / ("sub" if i == 3 else "") / f"t{i}.wav", tone(200 + 40 * i, 700))
    return folder


@pytest.fixture(scope="module")
def undisturbed(server, inputs, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert server.run("separate", inputs, "-o", out, *OPTIONS, points=True) == 0
    return tree(out), len(json.loads(server.told("points")))


def tree(out):
    return {
        name: (out / name).read_bytes()
        for name in files_below(out)
        if not name.startswith(".audionmf/")
    }


def finished(out):
    """Return the tracks of the journal, one for each line."""
    path = out / ".audionmf" / "journal.jsonl"
    lines = path.read_bytes().split(b"\n")[1:-1] if path.exists() else []
    return [json.loads(line)["track"] for line in lines]


def leftovers(out):
    return [name for name in files_below(out) if ".tmp" in name]


# --- killed


def test_killed_at_twenty_points_and_resumed_the_tree_is_that_of_an_undisturbed_run(
    server, inputs, undisturbed, tmp_path
):
    whole, n_points = undisturbed
    left_something = 0
    for i, stop in enumerate(sorted(random.Random(0).sample(range(1, n_points), 20))):  # noqa: S311
        out = tmp_path / str(i)
        arguments = ("separate", inputs, "-o", out, *OPTIONS)
        assert server.run(*arguments, stop=stop) == -signal.SIGKILL
        left_something += bool(leftovers(out))
        done = finished(out) if out.exists() else []
        assert server.run(*arguments, "--resume") == 0, server.told()
        assert tree(out) == whole
        assert leftovers(out) == []
        assert sorted(finished(out)) == sorted(set(finished(out)))
        assert finished(out)[: len(done)] == done
        assert server.told("stdout").count("finished before") == len(done)
        shutil.rmtree(out)
    assert left_something > 3  # or it would prove little


def test_killed_with_workers_and_resumed_with_others(server, inputs, undisturbed, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "audionmf", "separate", str(inputs), "-o", str(out), *OPTIONS]
    with subprocess.Popen([*command, "-j", "2"], stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            if b"source1.wav" in line:  # one is finished, others are being worked on
                break
        process.kill()
    assert process.returncode == -signal.SIGKILL
    with FolderLock(out):  # at the latest after a moment: its workers noticed, and are gone
        done = finished(out)
        assert done
    assert server.run(*command[3:], "--resume") == 0
    assert server.told() == ""
    assert tree(out) == undisturbed[0]
    assert server.told("stdout").count("finished before") == len(done)


# --- interrupted


@pytest.mark.parametrize(
    ("phase", "number"),
    [  # both signals take the same way; each is sent in every other phase, and both in one
        ("lock", signal.SIGINT),
        ("read", signal.SIGTERM),
        ("factorise", signal.SIGINT),
        ("render", signal.SIGTERM),
        ("write", signal.SIGINT),
        ("write", signal.SIGTERM),
        ("finish", signal.SIGTERM),
        ("rename", signal.SIGINT),
        ("journal", signal.SIGTERM),
        ("journal written", signal.SIGINT),
    ],
)
def test_a_signal_in_any_phase_leaves_no_partial_file_and_can_be_resumed(
    server, inputs, undisturbed, tmp_path, phase, number
):
    code = 128 + number
    out = tmp_path / "out"
    arguments = ("separate", inputs, "-o", out, *OPTIONS)
    begin = time.monotonic()
    assert server.run(*arguments, stop=phase, signal=number) == code
    assert time.monotonic() - begin < 2
    assert "Traceback" not in server.told()
    assert leftovers(out) == []
    assert ".audionmf/lock" not in files_below(out)
    whole = undisturbed[0]
    for name, content in tree(out).items():
        assert whole[name] == content
    done = finished(out) if (out / ".audionmf").exists() else []
    assert server.run(*arguments, "--resume") == 0, server.told()
    assert tree(out) == whole
    assert server.told("stdout").count("finished before") == len(done)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_workers_too_within_two_seconds(tmp_path, number, code):
    for i in range(3):
        sound(tmp_path / "in" / f"t{i}.wav", two_notes(1, 100_000 if i else 700))
    out = tmp_path / "out"
    slow = ("--max-iter", "100000", "--tol", "0", "--n-sources", "2", "--names", "plain", "-j", "2")
    command = ["-m", "audionmf", "separate", str(tmp_path / "in"), "-o", str(out), *slow]
    short = ["--n-fft", "256", "--n-threads", "1"]
    with subprocess.Popen(
        [sys.executable, *command, *short],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert any(b"source2.wav" in line for line in process.stdout)  # the short one is done
        begin = time.monotonic()
        os.killpg(process.pid, number)  # as Ctrl-C at a terminal: to the workers as well
        _, err = process.communicate(timeout=30)
        seconds = time.monotonic() - begin
    assert process.returncode == code
    assert b"Traceback" not in err
    assert seconds < 2
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # nobody of them is left
    assert {name.partition("/")[0] for name in tree(out)} == {"t0"}
    assert finished(out) == ["t0/manifest.json"]
    states = [
        f["state"] for f in json.loads((out / ".audionmf" / "report.json").read_text())["files"]
    ]
    assert states == ["done", "not run", "not run"]


# --- two at once, full disks, permissions, readers


def test_two_runs_at_once_are_code_7(server, inputs, tmp_path):
    out = tmp_path / "out"
    with FolderLock(out):
        assert server.run("separate", inputs, "-o", out, *OPTIONS) == 7
        assert server.run("separate", inputs / "t0.wav", "-o", out, *OPTIONS) == 7
        assert server.told().count("\n") == 1
        assert repr(str(out)) in server.told()
        assert server.run("separate", inputs, "-o", tmp_path / "other", *OPTIONS) == 0
    assert tree(out) == {}
    assert server.run("separate", inputs / "t0.wav", "-o", out, *OPTIONS) == 0


def test_a_full_disk_fails_the_files_that_do_not_fit(server, tmp_path):
    for i, n_samples in enumerate((700, 20_000, 700)):
        sound(tmp_path / "in" / f"t{i}.wav", tone(300 + i, n_samples))
    out = tmp_path / "out"
    arguments = ("separate", tmp_path / "in", "-o", out, *OPTIONS)
    assert server.run(*arguments, limit=12_000) == 1
    assert "t1.wav" in server.told()
    assert "Traceback" not in server.told()
    told = json.loads((out / ".audionmf" / "report.json").read_text())["files"]
    assert [file["code"] for file in told] == [0, 4, 0]
    assert {name.partition("/")[0] for name in tree(out)} == {"t0", "t2"}
    assert leftovers(out) == []
    assert server.run(*arguments, "--resume") == 0
    assert server.told("stdout").count("finished before") == 2


def test_a_user_who_may_not_write_is_told_before_anything_is_computed(server, inputs):
    folder = Path(tempfile.mkdtemp(prefix="audionmf-test-"))  # pytest's own may not be entered
    try:
        folder.chmod(0o755)
        shutil.copytree(inputs, folder / "in")
        for path in (folder / "in", folder / "in" / "sub"):
            path.chmod(0o755)
        for name, mode in (("readable", 0o555), ("hidden", 0o000)):
            (folder / name).mkdir()
            (folder / name).chmod(mode)
        for out in ("readable", "readable/new", "hidden"):
            arguments = ("separate", folder / "in", "-o", folder / out, *OPTIONS)
            assert server.run(*arguments, user=65534) == 4
            assert server.told().count("\n") == 1
            assert repr(str(folder / out)) in server.told().replace("/.audionmf", "")
        (folder / "in" / "t0.wav").chmod(0)
        (folder / "open").mkdir()
        (folder / "open").chmod(0o777)
        arguments = ("separate", folder / "in", "-o", folder / "open", *OPTIONS)
        assert server.run(*arguments, user=65534) == 1
        assert "t0.wav' may not be read" in server.told()
    finally:
        for path in folder.iterdir():
            path.chmod(0o755)
        shutil.rmtree(folder)


def test_a_reader_that_goes_is_code_141_and_the_rest_can_be_resumed(
    server, inputs, undisturbed, tmp_path
):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "audionmf", "separate", str(inputs), "-o", str(out), *OPTIONS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()  # as head does
        assert process.stderr.read() == b""
    assert process.returncode == 141
    assert leftovers(out) == []
    assert server.run(*command[3:], "--resume") == 0
    assert tree(out) == undisturbed[0]
    assert server.told("stdout").count("finished before") >= 1


# --- long runs

SOAK = """
import gc, json, os, sys
from audionmf.batch.run import separate_files
from audionmf.batch.job import SeparationJob
from audionmf.settings import Settings

settings = Settings(
    n_fft=64, n_components=2, max_iter=2, activation_iter=2, n_threads=1, names="plain"
)
jobs = [
    SeparationJob(f"{sys.argv[1]}/t{i}.wav", sys.argv[2], n_sources=2, settings=settings)
    for i in range(100)
]
page, marks = os.sysconf("SC_PAGE_SIZE"), []

done = []

def mark(outcome):
    done.append(outcome.state)
    if len(done) % 20:
        return
    gc.collect()
    with open("/proc/self/statm") as stream:
        memory = int(stream.read().split()[1]) * page
    marks.append((memory, len(os.listdir("/proc/self/fd"))))

separate_files(jobs, done=mark)
print(json.dumps([done, marks]))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_over_100_files_memory_and_open_files_stay_flat(tmp_path):
    first = sound(tmp_path / "in" / "t0.wav", two_notes(1, 1000))
    for i in range(1, 100):
        (tmp_path / "in" / f"t{i}.wav").hardlink_to(first)
    for out in ("first", "second"):
        result = child("-c", SOAK, str(tmp_path / "in"), str(tmp_path / out))
        assert result.returncode == 0, result.stderr
        states, marks = json.loads(result.stdout)
        assert states == ["done"] * 100
        memory, descriptors = zip(*marks, strict=True)  # after the 20th, the 40th, ...
        assert len(set(descriptors)) == 1
        growth = (memory[-1] - memory[0]) / 80
        if growth < 0.1 * 2**20:
            break  # else it may have made code, for which LLVM was loaded: once on a machine
    assert growth < 0.1 * 2**20
