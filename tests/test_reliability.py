"""Odd inputs and full disks through the command line, in the words of its exit codes."""

from __future__ import annotations

import errno
import io
import os
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import malformed
import numpy as np
import pytest
import soundfile
from conftest import RATE, TINY_OPTIONS, child, files_below, sound, steps, two_notes
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from audionmf.errors import AudioNMFError, AudioReadError, LimitError, OutputError
from audionmf.io import audio, spool
from audionmf.io.archive import read_kind
from audionmf.io.lock import FolderLock
from audionmf.nmf import passes
from audionmf.nmf.compiled import keeping_optional
from audionmf.rendering.decomposition import Decomposition
from audionmf.sources import alignment
from audionmf.sources.score import Note, Part, Score
from audionmf.sources.templates import Templates


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def separate(run, *arguments):
    return run("separate", *arguments, "--n-sources", 2, *TINY_OPTIONS)


def stems_below(folder):
    return sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".flac", ".aiff"))


# --- inputs


def cut(path, n_bytes=2000):
    path.write_bytes(path.read_bytes()[:-n_bytes])
    return path


@pytest.mark.parametrize("command", ["separate", "learn", "decompose", "info"])
def test_a_cut_recording_is_one_warning_and_with_strict_a_failure(run, mixture, out, command):
    arguments = {
        "separate": ("--n-sources", 2, "-o", out, *TINY_OPTIONS),
        "learn": ("-o", out / "a.npz", *TINY_OPTIONS),
        "decompose": ("-o", out, *TINY_OPTIONS),
        "info": (),
    }[command]
    cut(mixture)
    said = f"{str(mixture)!r} ends before its header says: 0.12 s are missing"
    code, _, err = run(command, mixture, *arguments, "--strict")
    assert code == 3
    assert err.startswith(f"audionmf: error: {said}")
    assert err.count("\n") == 1
    assert stems_below(out) == []
    code, _, err = run(command, mixture, *arguments)
    assert code == 0
    assert err.startswith(f"audionmf: warning: {said}")
    assert err.count("\n") == 1


def test_with_strict_a_cut_recording_among_others_fails_alone(run, mixture, tmp_path, out):
    broken = cut(sound(tmp_path / "in" / "broken.wav", two_notes()))
    code, _, err = separate(run, broken, mixture, "-o", out, "--strict")
    assert code == 1
    assert sum(repr(str(broken)) in line for line in err.splitlines()) == 1
    assert {path.parent.name for path in stems_below(out)} == {"mix"}


@pytest.mark.parametrize("kind", ["one sample", "short", "silent"])
@pytest.mark.parametrize("way", ["blind", "templates", "example", "auto"])
def test_an_unusual_recording_is_one_warning_and_its_stems_are_whole(run, tmp_path, out, kind, way):
    (tmp_path / "a.npz").write_bytes(malformed.archive())
    example = sound(tmp_path / "e.wav", two_notes())
    samples = {
        "one sample": two_notes()[:, 999:1000],
        "short": two_notes()[:, :77],
        "silent": np.zeros(999),
    }
    path = sound(tmp_path / "in" / "mix.wav", samples[kind])
    options = {
        "blind": ("--n-sources", 2),
        "templates": ("--templates", tmp_path / "a.npz"),
        "example": ("--example", f"a={example}", "--example", f"b={example}"),
        "auto": (),
    }[way]
    tiny = TINY_OPTIONS if way == "templates" else TINY_OPTIONS[2:]
    code, _, err = run("separate", path, *options, "-o", out, *tiny)
    assert code == 0
    assert err.count("\n") == 1
    assert ("is silent" if kind == "silent" else "less than one window") in err
    parts = [steps(stem) for stem in stems_below(out)]
    assert np.abs(sum(parts) - steps(path)).max() <= 1.01 * 2**-15
    assert parts[0].shape == steps(path).shape


def test_what_is_left_of_a_cut_recording_is_separated_to_its_end(run, mixture, out):
    cut(mixture)
    assert separate(run, mixture, "-o", out)[0] == 0
    parts = [steps(path) for path in stems_below(out)]
    assert np.abs(sum(parts) - steps(mixture)).max() <= 1.01 * 2**-15
    assert parts[0].shape == (1, 3000)


def test_a_flac_that_claims_2_to_the_36_samples_is_separated_to_its_end(run, tmp_path, out):
    whole = sound(tmp_path / "in" / "a.flac", two_notes())
    expected = steps(whole)
    content = bytearray(whole.read_bytes())
    content[21] |= 0x0F
    content[22:26] = b"\xff" * 4
    whole.write_bytes(bytes(content))
    code, _, err = separate(run, whole, "-o", out)
    assert (code, err.count("\n")) == (0, 1)
    assert "8589934.09 s are missing" in err
    stems = stems_below(out)
    assert np.abs(sum(map(steps, stems)) - expected).max() <= 1.01 * 2**-15
    assert soundfile.info(stems[0]).format == "WAV"


@pytest.mark.parametrize("rate", [1000, 11025, 44100, 768_000])
def test_every_usual_rate_is_kept(run, tmp_path, out, rate):
    path = sound(tmp_path / "in" / "mix.wav", two_notes(2), rate=rate)
    code, _, err = separate(run, path, "-o", out)
    assert (code, err) == (0, "")
    assert {(s.samplerate, s.frames) for s in map(soundfile.info, stems_below(out))} == {
        (rate, 4000)
    }


@pytest.mark.parametrize("n_channels", [1, 2, 3, 6, 64])
def test_up_to_64_channels_are_kept(run, tmp_path, out, n_channels):
    path = sound(tmp_path / "in" / "mix.wav", two_notes(n_channels, 1000))
    code, _, err = separate(run, path, "-o", out)
    assert (code, err) == (0, "")
    parts = [steps(stem) for stem in stems_below(out)]
    assert np.abs(sum(parts) - steps(path)).max() <= 1.01 * 2**-15
    assert parts[0].shape == (n_channels, 1000)


@pytest.mark.parametrize(
    ("container", "subtype", "kept"),
    [
        ("WAV", "PCM_U8", "PCM_U8"), ("WAV", "PCM_24", "PCM_24"), ("WAV", "PCM_32", "PCM_32"),
        ("WAV", "FLOAT", "FLOAT"), ("WAV", "DOUBLE", "DOUBLE"), ("WAV", "ALAW", "FLOAT"),
        ("WAV", "ULAW", "FLOAT"), ("WAV", "IMA_ADPCM", "FLOAT"), ("WAV", "MS_ADPCM", "FLOAT"),
        ("WAV", "GSM610", "FLOAT"), ("WAVEX", "PCM_16", "PCM_16"), ("RF64", "PCM_16", "PCM_16"),
        ("W64", "PCM_24", "PCM_24"), ("AIFF", "PCM_16", "PCM_16"), ("FLAC", "PCM_16", "PCM_16"),
        ("OGG", "VORBIS", "FLOAT"), ("OGG", "OPUS", "FLOAT"), ("MP3", "MPEG_LAYER_III", "FLOAT"),
    ],
)  # fmt: skip
def test_every_format_is_separated_under_a_lying_extension(
    run, tmp_path, out, container, subtype, kept
):
    liar = ".mp3" if container in ("WAV", "FLAC") else ".wav"
    path = sound(tmp_path / "in" / f"mix{liar}", two_notes(), subtype, format=container)
    code, _, err = separate(run, path, "-o", out)
    assert (code, err) == (0, "")
    stems = stems_below(out)
    assert {soundfile.info(stem).subtype for stem in stems} == {kept}
    assert sum(map(steps, stems)).shape == audio.read(path).samples.shape


@pytest.mark.parametrize("name", ["/dev/null", "/dev/zero", "/dev/stdin", "/proc/self/mem"])
def test_a_device_is_refused_within_a_second(run, tmp_path, out, name):
    path = tmp_path / "a.wav"
    path.symlink_to(name)
    start = time.monotonic()
    code, _, err = separate(run, path, "-o", out)
    assert time.monotonic() - start < 1
    assert code == 3
    assert err.count("\n") == 1
    assert repr(str(path)) in err


@pytest.mark.parametrize("name", ["-o.wav", "--help", "-", "%s {source}.wav", "a'b\"c.wav", "~"])
def test_names_that_look_like_something_else_are_files(run, tmp_path, out, name, monkeypatch):
    sound(tmp_path / "in" / name, two_notes())
    monkeypatch.chdir(tmp_path / "in")
    code, _, err = run("separate", "--n-sources", 2, "-o", out, *TINY_OPTIONS, "--", f"./{name}")
    assert (code, err) == (0, "")
    assert len(stems_below(out)) == 2


@pytest.mark.parametrize("way", ["--example", "--templates", "--midi", "--labels"])
@pytest.mark.parametrize("kind", ["loop", "dangling", "pipe", "folder"])
def test_what_goes_with_a_recording_and_is_no_file_is_refused(
    run, mixture, tmp_path, out, way, kind
):
    path = tmp_path / "odd"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path if kind == "loop" else "gone")
    named = f"a={path}" if way == "--example" else path
    code, _, err = run("separate", mixture, way, named, "-o", out, *TINY_OPTIONS)
    assert code == (5 if way == "--templates" and kind != "dangling" else 3)
    assert err.count("\n") == 1
    assert repr(str(path)) in err
    assert "unexpected" not in err
    assert stems_below(out) == []


def test_too_little_memory_is_code_6(run, mixture, out, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("audionmf.spectra.stft.STFT.forward_later", full)
    for arguments in (
        ("separate", mixture, "--n-sources", 2, "-o", out),
        ("decompose", mixture, "-o", out),
        ("learn", mixture, "-o", out / "a.npz"),
    ):
        code, _, err = run(*arguments, *TINY_OPTIONS)
        assert code == 6
        assert err.count("\n") == 1
        assert "not enough memory" in err
        assert files_below(out) == []


# --- standard input


def piped(content, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-B", "-m", "audionmf", *map(str, arguments)],
        input=content,
        capture_output=True,
        timeout=60,
        check=False,
        **options,
    )


@pytest.mark.parametrize("command", ["separate", "learn"])
def test_a_recording_that_comes_through_a_pipe(mixture, tmp_path, out, command):
    way = {
        "separate": ("--n-sources", "2", "-o", out),
        "learn": ("-o", out / "a.npz"),
    }[command]
    (tmp_path / "temporary").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary")}
    content = mixture.read_bytes()
    quiet = ("--progress", "none")  # it may take long enough for a line of it
    found = piped(content, command, "-", *way, *quiet, *TINY_OPTIONS, env=environment)
    assert (found.returncode, found.stderr) == (0, b"")
    assert files_below(tmp_path / "temporary") == []
    if command == "learn":
        assert Templates.load(out / "a.npz").names == ("stdin",)
    else:
        assert {path.parent.name for path in stems_below(out)} == {"stdin"}


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "standard input is empty"), (b"text" * 99, "not an audio file")]
)
def test_what_is_no_recording_in_a_pipe_is_code_3(tmp_path, content, said):
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    found = piped(content, "info", "-", env=environment)
    assert found.returncode == 3
    assert found.stderr.count(b"\n") == 1
    assert said in found.stderr.decode()
    assert files_below(tmp_path) == []


def test_a_pipe_is_read_once(run):
    code, _, err = run("info", "-", "-")
    assert code == 2
    assert "give - once" in err


def test_a_stream_over_the_cap_is_read_no_further_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    stream = io.BytesIO(bytes(5 << 20))
    with (
        pytest.raises(LimitError, match="more than 1000000 bytes"),
        spool.spooled(stream, max_bytes=1_000_000),
    ):
        pass
    assert stream.tell() <= 2 << 20
    assert files_below(tmp_path) == []


def test_a_stream_is_a_file_of_its_owner_alone_for_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with spool.spooled(io.BytesIO(b"content"), "name") as path:
        assert path.read_bytes() == b"content"
        assert path.name == "name"
        assert path.parent.stat().st_mode & 0o077 == 0
    assert files_below(tmp_path) == []
    with pytest.raises(ZeroDivisionError), spool.spooled(io.BytesIO(b"content")) as path:
        raise ZeroDivisionError
    assert not path.parent.exists()


def test_a_terminal_is_no_recording():
    class Terminal(io.BytesIO):
        def isatty(self):
            return True

    with pytest.raises(AudioReadError, match="terminal"), spool.spooled(Terminal(b"x")):
        pass


def test_a_pipe_without_room_to_keep_it_is_an_output_error(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(OutputError) as caught, spool.spooled(io.BytesIO(b"x")):
        pass
    assert caught.value.errno == errno.ENOENT


# --- outputs


def test_rf64_is_chosen_exactly_where_the_size_needs_it(tmp_path):
    most = (1 << 32) - (1 << 20)
    for n_samples, container in ((most // 4, "WAV"), (most // 4 + 1, "RF64")):
        with audio.AudioWriter(tmp_path / "a.wav", RATE, 2, "PCM_16", n_samples) as writer:
            writer.write(two_notes(2).astype(np.float32))
        assert soundfile.info(tmp_path / "a.wav").format == container
        assert np.array_equal(steps(tmp_path / "a.wav").shape, (2, 4000))


def test_a_recording_of_more_than_4_gib_is_opened_and_its_stems_would_be_rf64(tmp_path):
    n_samples = 3 << 30
    content = malformed.rf64(2 * n_samples + 72, 2 * n_samples)
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    os.truncate(path, len(content) - 8000 + 2 * n_samples)
    file = audio.AudioFile(path)
    assert (file.n_samples, file.container) == (n_samples, "RF64")
    assert next(file.blocks(4000)).any()
    with audio.AudioWriter(tmp_path / "b.wav", RATE, 1, file.subtype, file.n_samples) as writer:
        writer.write(np.zeros((1, 9), np.float32))
    assert soundfile.info(tmp_path / "b.wav").format == "RF64"


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 64 kB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system; a file-size limit is tested anyway")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here; a file-size limit is tested anyway")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("command", ["separate", "learn"])
def test_a_disk_that_is_really_full_is_code_4_and_leaves_nothing(tmp_path, small_disk, command):
    path = sound(tmp_path / "long.wav", two_notes(1, 40_000))
    way = {
        "separate": ("--n-sources", "2", "-o", small_disk / "out"),
        "learn": ("-o", small_disk / "out" / "a.npz", "--n-components", "60", "--n-fft", "2048"),
    }[command]
    arguments = (command, path, *TINY_OPTIONS, *way)
    result = child("-m", "audionmf", *map(str, arguments), "--progress", "none")
    assert result.returncode == 4, result.stderr
    assert result.stderr.count(b"\n") == 1
    assert os.strerror(errno.ENOSPC) in result.stderr.decode()
    assert stems_below(small_disk) == []
    assert not any(".audionmf-" in name for name in files_below(small_disk))
    assert not any(name.endswith(".npz") for name in files_below(small_disk))


@pytest.mark.parametrize(
    "command", ["separate", "learn", "decompose", "stream", "regroup", "rerun"]
)
def test_what_killed_runs_left_is_cleared_by_whatever_writes_there_next(
    run, mixture, tmp_path, out, command
):
    learn = ("learn", mixture, "-o", tmp_path / "a.npz", "--n-components", 2)
    decompose = ("decompose", mixture, "-o", tmp_path / "parts", "--n-components", 2)
    separate = ("separate", mixture, "--templates", tmp_path / "a.npz", "--free", 2)
    needed = {
        "stream": [learn],
        "regroup": [decompose],
        "rerun": [learn, (*separate, "-o", tmp_path / "old")],
    }
    for made in needed.get(command, []):
        assert run(*made, *TINY_OPTIONS)[0] == 0
    arguments, below = {
        "separate": (("--n-sources", 2, mixture, *TINY_OPTIONS), "out/mix"),
        "learn": ((mixture, *TINY_OPTIONS), "out"),
        "decompose": ((mixture, *TINY_OPTIONS), "out/mix"),
        "stream": ((mixture, "--templates", tmp_path / "a.npz", "--residual", "rest"), "out/mix"),
        "regroup": ((tmp_path / "parts" / "mix" / "model.npz", "--group", "a=0"), "out/mix"),
        "rerun": ((tmp_path / "old" / "mix" / "manifest.json",), "out/mix"),
    }[command]
    stale = tmp_path / below / ".audionmf-0123456789abcdef.tmp.wav"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"half")
    where = out / "a.npz" if command == "learn" else out
    code, _, err = run(command, *arguments, "-o", where)
    assert code == 0, err
    assert files_below(out)
    assert not any(".audionmf" in name for name in files_below(out))


@pytest.mark.parametrize("command", ["separate", "decompose", "stream", "regroup", "rerun"])
def test_a_folder_that_another_run_writes_to_is_code_7(run, mixture, tmp_path, out, command):
    arguments = {
        "separate": (mixture, "--n-sources", 2),
        "decompose": (mixture,),
        "stream": (mixture, "--templates", tmp_path / "a.npz"),
        "regroup": (tmp_path / "model.npz", "--group", "a=0"),
        "rerun": (tmp_path / "manifest.json",),
    }[command]
    (tmp_path / "a.npz").write_bytes(malformed.archive())
    (tmp_path / "model.npz").write_bytes(malformed.archive(malformed.MODEL_METADATA))
    if command == "rerun":
        assert separate(run, mixture, "-o", tmp_path / "old")[0] == 0
        shutil.copy(tmp_path / "old" / "mix" / "manifest.json", tmp_path)
    with FolderLock(out):
        code, _, err = run(command, *arguments, "-o", out)
    assert code == 7
    assert err.count("\n") == 1
    assert "in use by another run" in err
    assert files_below(out) == []


# --- compiled code, kept on disk


@pytest.fixture
def compiled(code_folder):
    """Return a function that compiles a function as the kernels are, kept in a folder of its own."""

    def add_one(x):
        return x + 1

    return lambda: passes._compiled()(add_one)


def kept(folder):
    return [name for name in files_below(folder / "kept") if not name.endswith(".tmp")]


def test_compiled_code_is_kept_and_found_again(compiled, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_OPT", "2")  # any variable of numba's that changes
    assert compiled()(1) == 2
    assert len(kept(tmp_path)) == 2
    again = compiled()
    assert again(1) == 2
    assert sum(again.stats.cache_hits.values()) == 1


FULL_STEPS = ("_save_index", "_save_data")


@pytest.mark.parametrize("step", FULL_STEPS)
def test_a_full_disk_keeps_no_compiled_code_and_stops_nothing(
    compiled, tmp_path, monkeypatch, step
):
    from numba.core.caching import IndexDataCacheFile

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(IndexDataCacheFile, step, full)
        assert compiled()(1) == 2
    assert kept(tmp_path) == []
    assert compiled()(1) == 2
    assert len(kept(tmp_path)) == 2


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("content", [b"", b"\x80\x05broken", "a folder"])
def test_damaged_compiled_code_is_made_again(compiled, tmp_path, suffix, content):
    assert compiled()(1) == 2
    for path in (tmp_path / "kept").rglob(f"*{suffix}"):
        path.unlink()
        path.mkdir() if content == "a folder" else path.write_bytes(content)
    again = compiled()
    assert again(1) == 2
    assert sum(again.stats.cache_hits.values()) == 0


def test_without_a_folder_for_compiled_code_it_is_compiled_all_the_same(compiled, monkeypatch):
    from numba.core.caching import CacheImpl

    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    monkeypatch.setattr(passes, "private_folder", lambda: None)
    assert compiled()(1) == 2


def others(add=1):
    """Compile a function as librosa does its own."""
    import numba

    return numba.njit(cache=True)(lambda x: x + add)


@pytest.fixture(params=["no folder", *FULL_STEPS])
def unkept(request, monkeypatch, code_folder):
    """Let nothing be kept, for one reason or the other."""
    from numba.core.caching import CacheImpl, IndexDataCacheFile

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if request.param == "no folder":
        monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    else:
        monkeypatch.setattr(IndexDataCacheFile, request.param, full)


def test_what_other_packages_compile_need_not_be_kept(unkept, tmp_path):
    with pytest.raises((OSError, RuntimeError)):
        others()(1)
    with keeping_optional(), keeping_optional():
        function = others()
        assert function(1) == 2
    assert kept(tmp_path) == []
    with pytest.raises((OSError, RuntimeError)):
        others()(1)


def test_what_other_packages_compile_is_kept_where_it_can_be(code_folder, tmp_path):
    with keeping_optional():
        assert others()(1) == 2
    assert len(kept(tmp_path)) == 2


@pytest.fixture
def warping(monkeypatch):
    """Put a function in the place of librosa's that is compiled when it is called, as that is."""
    import librosa.sequence

    def dtw(written, played, metric):
        assert others()(1) == 2
        return None, np.arange(len(written.T))[::-1, None].repeat(2, axis=1)

    monkeypatch.setattr(librosa.sequence, "dtw", dtw)


def test_a_score_is_aligned_where_no_compiled_code_can_be_kept(warping, unkept):
    notes = tuple(Note(0.2 * i, 0.2 * i + 0.2, 60 + 3 * i, 80, 0.2 * i + 0.2) for i in range(5))
    heard = alignment._Heard(*np.ones((2, 120, 40), np.float32), 0.025, 0.1)
    line, _ = alignment._warped(heard, Score((Part("a", notes),)))
    assert 0.1 <= line.stretch <= 10


# --- template and model files

_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(["a", "b", "hann", "audionmf model", 256, 64, RATE, malformed.N_SAMPLES]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@st.composite
def metadata(draw):
    """Metadata of templates or of a model with some fields changed or gone."""
    fields = dict(draw(st.sampled_from([malformed.METADATA, malformed.MODEL_METADATA])))
    for name in draw(st.lists(st.sampled_from(sorted(malformed.MODEL_METADATA)), max_size=3)):
        fields[name] = draw(_values)
    inner = [name for name in ("stft", "mixture", "settings") if isinstance(fields.get(name), dict)]
    for name in draw(st.lists(st.sampled_from(inner), max_size=2)) if inner else ():
        keys = [*fields[name], "other"]
        fields[name] = {**fields[name], draw(st.sampled_from(keys)): draw(_values)}
    return fields


@st.composite
def members(draw):
    """Arrays of odd shapes, types and values, under names that models have."""
    names = st.sampled_from(
        ["templates", "activations", "penalties", "covariances", "patterns", "x"]
    )
    found = {}
    for name in draw(st.lists(names, max_size=2)):
        shape = draw(
            st.sampled_from([(129, 2), (2, 64), (2,), (2, 129, 2, 2, 2), (0, 2), (2, 0, 5), ()])
        )
        kind = draw(st.sampled_from(["<f4", "<f8", ">f4", "<f2", "<i8", "<c8", "U3", "?"]))
        value = draw(st.sampled_from([0, 1, -1, float("nan"), 1e300]))
        with np.errstate(all="ignore"):
            filled = np.full(shape, 0)
            found[name] = (
                filled.astype(kind) if kind in ("<i8", "U3", "?") else (filled + value).astype(kind)
            )
    return found


@hypothesis_settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(metadata(), members(), st.integers(0, 3), st.data())
def test_a_mutated_archive_is_read_or_refused_and_nothing_else(
    tmp_path, fields, arrays, n_flips, data
):
    content = bytearray(malformed.archive(fields, **arrays))
    for _ in range(n_flips):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "mutated.npz"
    path.write_bytes(content)
    refused = 0
    for reader in (read_kind, Templates.load, Decomposition.load):
        try:
            reader(path)
        except AudioNMFError:
            refused += 1
    assert refused >= 1 or read_kind(path) is None


def test_a_directory_that_claims_terabytes_is_refused_unread(tmp_path):
    wide = struct.pack("<HHQ", 1, 8, 4 << 40)
    content = malformed.archive()
    place = content.rindex(b"templates.npy")
    entry = bytearray(content[place - 46 :])
    entry[24:28] = b"\xff" * 4
    entry[30:32] = struct.pack("<H", len(wide))
    entry[46 + 13 : 46 + 13] = wide
    ending = entry.rindex(b"PK\x05\x06")
    entry[ending + 12 : ending + 16] = struct.pack(
        "<I", int.from_bytes(entry[ending + 12 : ending + 16], "little") + len(wide)
    )
    path = tmp_path / "claims.npz"
    path.write_bytes(content[: place - 46] + entry)
    with pytest.raises(AudioNMFError, match="would unpack to 4398046"):
        Templates.load(path)
    assert Path(path).stat().st_size < 2000
