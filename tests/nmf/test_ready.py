"""Kernels run without their compiler: the same bits, and only from files that can be trusted."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from audionmf.io import kept as keeping
from audionmf.nmf import ready

RUN = """
import sys, numpy as np
from audionmf.nmf.kernels import KLKernel, extrapolate

rng, free = np.random.default_rng(0), np.ones(5, bool)
V = np.asfortranarray(rng.random((33, 90)).astype(sys.argv[1]))
W, H = (rng.random(shape).astype(sys.argv[1]) for shape in ((5, 33), (90, 5)))
with KLKernel(V, 5, 2, free, free) as kernel:
    value = kernel.iterate(W, H, divergence=True)
    extrapolate(W, W * 1.1, 0.5)
    kernel.activate(W, H, 2)
print("numba" in sys.modules, value, W.tobytes().hex()[:400], H.sum(dtype="d"))
"""


ADD = """
import numpy as np
from pathlib import Path
from audionmf.io import kept
from audionmf.nmf import passes, ready
kept._BESIDE = Path('nowhere')
for _ in range(2):
    kernel = ready.Kernel("extrapolate_flat", "float32")
    kernel(np.ones(4, np.float32), np.ones(4, np.float32), 0.5)
    print(kernel.is_ready)
assert sum(passes.extrapolate_flat.stats.cache_hits.values()) == 1
"""


def run(program, *arguments, **variables):
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | variables, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split(maxsplit=1)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Return a kernel of its own that goes on as before, in a folder of its own."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(keeping, "_BESIDE", tmp_path / "beside")

    def add():
        kernel = ready.Kernel("extrapolate_flat", "float32")
        x, previous = np.full(4, 3, np.float32), np.ones(4, np.float32)
        kernel(x, previous, 0.0)
        assert x.tolist() == previous.tolist() == [3] * 4
        return kernel

    return add


def only_file(folder):
    return next(folder.glob("extrapolate_flat-float32-*.code"))


def test_a_second_process_computes_the_same_bits_without_the_compiler():
    run(RUN, "float32")  # it is kept from here on
    loaded, found = run(RUN, "float32")
    assert loaded == "False"
    never = "from audionmf.nmf import ready; ready._kept = lambda name: None\n"
    compiled, expected = run(never + RUN, "float32")
    assert compiled == "True"
    assert found == expected


def test_code_beside_the_package_is_for_all(kept, tmp_path, monkeypatch):
    kept()
    beside = tmp_path / "beside"
    beside.mkdir()
    only_file(tmp_path).rename(beside / only_file(tmp_path).name)
    assert kept().is_ready
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    assert kept().is_ready


def test_code_is_kept_and_loaded_again(kept, tmp_path):
    assert not kept().is_ready
    assert kept().is_ready
    assert only_file(tmp_path).stat().st_mode & 0o777 == 0o644


def test_what_only_numba_kept_is_kept_from_there(kept, tmp_path):
    kept()
    only_file(tmp_path).unlink()
    done = subprocess.run([sys.executable, "-c", ADD], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "True"], done.stderr
    assert kept().is_ready


@pytest.mark.parametrize("cut", [0, 20, 500])
def test_damaged_code_is_left_to_the_compiler(kept, tmp_path, cut):
    kept()
    file = only_file(tmp_path)
    file.write_bytes(file.read_bytes()[:cut])
    assert not kept().is_ready


def test_one_bit_in_the_code_is_damage(kept, tmp_path):
    kept()
    file = only_file(tmp_path)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert not kept().is_ready


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_code_that_others_may_write_is_not_run(kept, tmp_path, mode):
    kept()
    only_file(tmp_path).chmod(mode)
    assert not kept().is_ready


def test_code_of_another_user_is_not_run(kept, monkeypatch):
    kept()
    monkeypatch.setattr(os, "getuid", lambda: 12345)

    class Other:
        st_uid, st_mode = 54321, 0o100644

    real = Path.stat

    def stat(self, **options):
        return Other if self.suffix == ".code" else real(self, **options)

    monkeypatch.setattr(Path, "stat", stat)
    assert not kept().is_ready


def test_code_that_refers_to_what_is_not_there_is_not_run(kept, tmp_path):
    kept()
    file = only_file(tmp_path)
    found = keeping._read(file)
    found["outside"].append("a_function_of_no_library")
    text = json.dumps(found).encode()
    file.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
    assert not kept().is_ready


def test_code_of_other_sources_is_not_run_and_goes_when_new_code_is_kept(
    kept, tmp_path, monkeypatch
):
    kept()
    before = only_file(tmp_path)
    ready._source.cache_clear()
    monkeypatch.setenv("NUMBA_OPT", "2")  # as a change of the source would
    assert not kept().is_ready
    assert only_file(tmp_path) != before
    ready._source.cache_clear()


def test_a_full_disk_keeps_nothing_and_stops_nothing(kept, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(keeping.Path, "replace", full)
        patch.setattr(keeping, "_folders", lambda: iter([tmp_path]))
        kept()
    assert not list(tmp_path.glob("extrapolate_flat*.code")) + list(tmp_path.glob("*.part"))
    kept()
    assert kept().is_ready


def test_a_compiler_that_calls_in_another_way_keeps_nothing(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(ready, "_expected", lambda kinds: ["p", "p", "p"])
    kept()
    assert not kept().is_ready


def test_arrays_that_code_is_not_for_are_left_to_the_compiler(kept):
    kept()
    kernel = kept()
    x, previous = np.full(8, 3, np.float32)[::2], np.ones(4, np.float32)  # with gaps
    kernel(x, previous, 0.0)
    assert kernel.is_ready
    assert previous.tolist() == [3] * 4


def test_numba_works_after_code_that_was_run_without_it():
    program = RUN + (
        "import numba\n"
        "@numba.njit\n"
        "def made(n):\n"
        "    x = np.zeros(n)\n"
        "    for i in range(n):\n"
        "        x = x + i\n"
        "    return x\n"
        "print(made(4).tolist())"
    )
    run(RUN, "float64")
    assert run(program, "float64")[1].endswith("[6.0, 6.0, 6.0, 6.0]\n")


def test_an_array_with_gaps_cannot_be_laid_out():
    with pytest.raises(ValueError, match="gaps"):
        ready.laid(np.ones((3, 4))[:, ::2])
