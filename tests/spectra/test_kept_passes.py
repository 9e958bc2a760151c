"""Code of passes that is kept: the same bits without a compiler, and only from files to be trusted."""

import subprocess
import sys

import numpy as np
import pytest

from audionmf.io import kept
from audionmf.spectra import fused, machine_code
from audionmf.spectra.fused import FramePass, length, root

MEDIANS = """
import sys, numpy as np
from pathlib import Path
import llvmlite.binding as llvm
from audionmf.io import kept
from audionmf.spectra.medians import running_median

kept._BESIDE = Path("nowhere")
rows = np.random.default_rng(0).random((400, 300), np.float32)
made, parse = [], llvm.parse_assembly
llvm.parse_assembly = lambda text: made.append(text) or parse(text)
found = running_median(rows, 9)
print(any(made), found.tobytes().hex()[:400])
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "code"))
    monkeypatch.setattr(kept, "_BESIDE", tmp_path / "beside")
    return tmp_path / "code"


@pytest.fixture
def compiled(monkeypatch):
    """Return the names of what was compiled since."""
    made, named = [], machine_code.keep

    def keep(name, *others, **more):
        made.append(name)
        named(name, *others, **more)

    monkeypatch.setattr(machine_code, "keep", keep)
    return made


def halved(share=0.5):
    """Return what a new process finds: a pass that was not used yet, and what it gives."""
    one = FramePass(lambda x, y: [root(length(x, y)) * share], "ff", "f")
    given = np.random.default_rng(0).random((2, 5, 90), np.float32)
    found = np.empty_like(given[0])
    one(given, [found])
    assert found.tobytes() == (np.sqrt(length(*given)) * np.float32(share)).tobytes()
    return found


def test_code_is_made_once_and_then_read(folder, compiled):
    first = halved()
    assert len(compiled) == 1
    assert halved().tobytes() == first.tobytes()
    assert len(compiled) == 1
    (file,) = folder.glob("pass-*.code")
    assert file.stat().st_mode & 0o777 == 0o644


def test_another_pass_is_another_file(folder, compiled):
    halved(0.5)
    halved(0.25)
    assert len(compiled) == len([*folder.glob("pass-*.code")]) == 2


def test_a_second_process_reads_what_the_first_one_kept(folder):
    runs = [subprocess.run([sys.executable, "-c", MEDIANS], capture_output=True, text=True, check=True)
            for _ in range(2)]  # fmt: skip
    (first, bits), (second, again) = (run.stdout.split() for run in runs)
    assert (first, second) == ("True", "False")
    assert again == bits


@pytest.mark.parametrize("cut", [0, 20, 300])
def test_damaged_code_is_made_anew(folder, compiled, cut):
    halved()
    (file,) = folder.glob("pass-*.code")
    whole = file.read_bytes()
    file.write_bytes(whole[:cut])
    halved()
    assert len(compiled) == 2
    assert file.read_bytes() == whole


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_code_that_others_may_write_is_not_run(folder, compiled, mode):
    halved()
    next(folder.glob("pass-*.code")).chmod(mode)
    halved()
    assert len(compiled) == 2


def test_code_of_another_version_is_not_run_and_goes(folder, compiled, monkeypatch):
    halved()
    (before,) = folder.glob("pass-*.code")
    monkeypatch.setattr(fused, "_source", lambda: b"another")
    halved(0.25)
    (after,) = folder.glob("pass-*.code")
    assert after != before
    halved()
    assert len(compiled) == 3


def test_kernels_stay_when_passes_go(folder, monkeypatch):
    kept.keep("multiply-float32", "old", b"code", {})
    halved()
    assert next(kept.read("multiply-float32", "old")) == {"code": b"code"}


def test_of_many_passes_the_last_ones_are_kept(folder, monkeypatch):
    monkeypatch.setattr(fused, "_MOST_KEPT", 3)
    for i in range(5):
        halved(1 / (i + 1))
    assert len([*folder.glob("pass-*.code")]) == 3


def test_without_a_folder_all_is_made_in_each_process(folder, compiled, monkeypatch):
    monkeypatch.setattr(kept, "_folders", lambda: iter([]))
    halved()
    halved()
    assert len(compiled) == 2


def test_a_file_that_goes_while_others_are_cleared_stops_nothing(folder):
    kept._clear([folder / "gone-cpu-old.code"], "new", 1)
    kept.keep("a", "new", b"code", {"kinds": ["f"]}, family="*", most=1)
    assert next(kept.read("a", "new")) == {"kinds": ["f"], "code": b"code"}
