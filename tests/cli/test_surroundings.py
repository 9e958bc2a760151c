"""Closed streams, odd variables, folders that are gone, signals, text that a terminal would obey."""

import os
import platform
import signal
import stat
import subprocess
import sys

import pytest
from conftest import RATE, TINY_OPTIONS, child, files_below, sound, tone

import audionmf
from audionmf.cli import surroundings
from audionmf.cli.common import printable
from audionmf.io import private
from audionmf.io.signals import ENDING, ending_by

posix = pytest.mark.skipif(os.name != "posix", reason="what POSIX has")
SEPARATE = ("-m", "audionmf", "separate", "--n-sources", "2", *TINY_OPTIONS)
CLOSED = "import os, sys; os.close({0}); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"


AT_THE_END = """
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count() > 1000))
from audionmf.cli import main
for _ in range(2):
    main(["info", "nowhere.wav"])
"""


def test_at_the_end_of_the_process_no_circles_of_objects_are_sought():
    done = child("-c", AT_THE_END)
    assert (done.returncode, done.stdout) == (0, b"True\n"), done.stderr


@posix
@pytest.mark.parametrize("number", [0, 1, 2])
def test_with_a_closed_stream_all_works(mixture, tmp_path, number):
    out = tmp_path / "out"
    done = child("-c", CLOSED.format(number), *SEPARATE, str(mixture), "-o", str(out))
    assert done.returncode == 0, done.stderr
    assert len(files_below(out)) == 3
    assert all(b"separated" not in path.read_bytes()[:4] for path in out.rglob("*.wav"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("arguments", [("--help",), ("info", "MIX"), ("info", "MIX", "--json")])
def test_a_full_standard_output_is_code_4_and_a_line(mixture, arguments):
    told = [str(mixture) if word == "MIX" else word for word in arguments]
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-B", "-m", "audionmf", *told],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "standard output could not be written: No space left" in done.stderr


@posix
@pytest.mark.parametrize("arguments", [("info", "mix.wav"), ("separate", "mix.wav", "-o", "out")])
def test_a_current_folder_that_is_gone_is_a_line(tmp_path, arguments):
    gone = tmp_path / "gone"
    gone.mkdir()
    code = (
        f"import os, sys; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); "
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    done = child("-c", code, "-m", "audionmf", *arguments)
    assert done.returncode == 3
    assert done.stderr.count(b"\n") == 1
    assert b"unexpected" not in done.stderr


@pytest.mark.parametrize("value", ["0", "x", "-1", "\u00b2", ""])
def test_an_odd_number_of_threads_is_passed_over(monkeypatch, value):
    monkeypatch.setenv("NUMBA_NUM_THREADS", value)
    surroundings.tidy()
    assert "NUMBA_NUM_THREADS" not in os.environ


def test_odd_variables_and_no_home_stop_no_library():
    odd = {
        "NUMBA_NUM_THREADS": "x", "NUMBA_DISABLE_JIT": "maybe", "OMP_NUM_THREADS": "x",
        "OPENBLAS_NUM_THREADS": "-3", "MPLBACKEND": "nonsense",
    }  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if name != "HOME"}
    code = (
        "from audionmf.cli.surroundings import keep_code, tidy; tidy(); print(keep_code()); "
        "import numba, matplotlib; print(numba.config.DISABLE_JIT)"
    )
    done = child("-c", code, env={**kept, **odd})
    assert (done.returncode, done.stdout) == (0, b"\n0\n"), done.stderr


def test_variables_that_are_right_are_kept(monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")
    surroundings.tidy()
    assert os.environ["NUMBA_NUM_THREADS"] == "2"


IDLE = """
import os, sys
from audionmf import cli
print("numpy" in sys.modules)
cli.main(["info", "nowhere.wav"])
print(os.environ["OPENBLAS_THREAD_TIMEOUT"])
"""


def test_threads_of_blas_are_told_to_sleep_when_idle_before_numpy_is_loaded(monkeypatch):
    monkeypatch.delenv("OPENBLAS_THREAD_TIMEOUT", raising=False)
    done = child("-c", IDLE)
    assert (done.returncode, done.stdout) == (0, b"False\n4\n"), done.stderr


def test_how_long_threads_of_blas_look_for_work_is_left_to_who_said_it(monkeypatch):
    monkeypatch.setenv("OPENBLAS_THREAD_TIMEOUT", "20")
    surroundings.tidy()
    assert os.environ["OPENBLAS_THREAD_TIMEOUT"] == "20"


# --- signals

ENDED = """
import os, signal, sys
from audionmf import cli
from audionmf.io.files import atomic_path
from audionmf.io.lock import FolderLock
def run(options):
    with FolderLock(sys.argv[1]), atomic_path(sys.argv[1] + "/x") as path:
        path.write_text("half")
        os.kill(os.getpid(), getattr(signal, sys.argv[2]))
        while True:
            signal.pause()
options = cli.main_parser().parse_args(["info", "x"])
options.run = run
class Fixed:
    parse_args = staticmethod(lambda arguments: options)
cli.main_parser = lambda *_: Fixed
sys.exit(cli.main([]))
"""


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGXCPU"])
def test_every_signal_that_ends_clears_away(tmp_path, name):
    done = child("-c", ENDED, str(tmp_path), name)
    assert done.returncode == 143, done.stderr
    assert files_below(tmp_path) == []


@posix
def test_what_ends_a_run_does_so_once_and_nohup_is_heeded(monkeypatch):
    assert signal.SIGHUP in ENDING
    heard = []
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_by(lambda number, _frame: heard.append(number)):
            for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM, signal.SIGUSR1):
                os.kill(os.getpid(), number)
        assert heard == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGHUP, before)


# --- compiled code


_ARENAS = """
import ctypes, sys, threading
from audionmf.cli.surroundings import share_memory
if sys.argv[1] == "shared":
    assert share_memory()
libc = ctypes.CDLL(None)
libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
together = threading.Barrier(6)
def work():
    together.wait()
    libc.malloc(30_000)
    together.wait()
threads = [threading.Thread(target=work) for _ in range(6)]
for each in threads: each.start()
for each in threads: each.join()
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is another")
@pytest.mark.parametrize("how", ["shared", "alone"])
def test_threads_share_memory_that_was_given_back(how, tmp_path):
    told = tmp_path / "told.xml"
    around = {key: value for key, value in os.environ.items() if key != "MALLOC_ARENA_MAX"}
    subprocess.run([sys.executable, "-c", _ARENAS, how, told], check=True, env=around)
    arenas = told.read_text().count("<heap nr=")
    assert arenas <= 2 if how == "shared" else arenas > 2


@posix
def test_without_a_cache_code_is_kept_in_a_private_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(surroundings, "any_writable", lambda folders: False)
    monkeypatch.setattr(private.tempfile, "gettempdir", lambda: str(tmp_path))
    assert surroundings.keep_code() == ""
    folder = tmp_path / f"audionmf-code-{os.getuid()}"
    assert os.environ["NUMBA_CACHE_DIR"] == str(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@posix
@pytest.mark.parametrize("trap", ["a link", "open to others", "a file", "of another user"])
def test_a_folder_for_code_that_others_may_fill_is_not_used(tmp_path, monkeypatch, trap):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(surroundings, "any_writable", lambda folders: False)
    monkeypatch.setattr(private.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = tmp_path / f"audionmf-code-{os.getuid()}"
    if trap == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    elif trap == "a file":
        folder.touch()
    else:
        folder.mkdir(mode=0o700)
    if trap == "open to others":
        folder.chmod(0o770)
    if trap == "of another user":
        owner = os.getuid()
        monkeypatch.setattr(private.os, "getuid", lambda: owner + 1)
        folder.rename(tmp_path / f"audionmf-code-{owner + 1}")
    assert "NUMBA_CACHE_DIR" in surroundings.keep_code()
    assert "NUMBA_CACHE_DIR" not in os.environ


def test_where_the_cache_can_be_written_nothing_is_changed(monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    assert surroundings.keep_code() == ""
    assert "NUMBA_CACHE_DIR" not in os.environ


# --- terminals


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "a\rb", "\x9b2J", "\x07", "\u202e", "\u2028"])
def test_nothing_printed_moves_a_cursor_or_breaks_a_line(text):
    shown = printable(f"a{text}b")
    assert shown.isprintable()
    assert shown != f"a{text}b"


@pytest.mark.parametrize("text", ["naïve", "日本\u3000語", "🎻", "a\\b"])
def test_names_in_any_script_are_printed_as_they_are(text):
    assert printable(text).encode(sys.stdout.encoding, "backslashreplace") == text.encode(
        sys.stdout.encoding, "backslashreplace"
    )


EVIL = "\x1b[2Jname\nerror: all is lost\x9b\u202e"


def safe(out, err):
    return all(c.isprintable() or c == "\n" for c in out + err) and "\nerror: all" not in out + err


def test_no_name_from_a_bank_reaches_the_terminal_as_it_is(run, tmp_path):
    bank = audionmf.learn(tone(330)[None], EVIL, 2, sample_rate=RATE, n_fft=256, max_iter=2)
    path = bank.save(tmp_path / "evil.npz")
    mix = sound(tmp_path / "mix.wav", tone(330))
    for command in (
        ("info", path, "--all"),
        ("separate", mix, "--templates", path, "-o", tmp_path / "out", "--max-iter", "2"),
        ("separate", mix, "--templates", path, "--only", "x", "-o", tmp_path / "out"),
        ("separate", mix, "--templates", path, "--dry-run", "-o", tmp_path / f"out{EVIL}"),
        ("separate", mix, "--filename", EVIL + "{source}.wav", "-o", tmp_path / "out"),
        ("separate", mix, "--debug", "--filename", EVIL, "-o", tmp_path / "out"),
        ("separate", mix, f"--{EVIL}"),
        ("info", tmp_path / EVIL),
    ):
        _, out, err = run(*command)
        assert safe(out, err), (command, out, err)
        assert out or err


def test_a_pattern_with_control_characters_is_refused(run, mixture, tmp_path):
    out = tmp_path / "out"
    code, _, err = run("separate", mixture, "--filename", "a\n{source}.{ext}", "-o", out)
    assert code == 2
    assert "control characters" in err
    assert files_below(tmp_path) == ["in/mix.wav"]
