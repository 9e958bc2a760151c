"""Machine code is made once, kept, and loaded again; where nothing can be kept it is made anew."""

import ctypes
import subprocess
import sys
import threading

import llvmlite.binding as llvm
import pytest

from audionmf.io import kept
from audionmf.io.executable import can_load
from audionmf.io.kept import Processor
from audionmf.spectra import machine_code
from audionmf.spectra.machine_code import made

TEXT = "define i64 @{}(i64 %x) {{\n  %y = add i64 %x, {}\n  ret i64 %y\n}}"


@pytest.fixture
def adding(tmp_path, monkeypatch):
    """Return what makes a function that adds a number, in a folder of its own."""
    machine_code.host()  # what LLVM says of the processor is kept as well, once
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kept, "_BESIDE", tmp_path / "beside")

    def add(number, name="plus"):
        """Return the number plus 1 by machine code, and whether its text was written for that."""
        written = []

        def write():
            written.append(number)
            return TEXT.format("plus", number)

        places = made("adding", str(number).encode(), write, [name])
        return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(places[name])(1), bool(written)

    return add


def test_code_is_made_once_for_a_source(adding, tmp_path):
    assert [adding(5), adding(5)] == [(6, True), (6, False)]
    assert [adding(7), adding(7)] == [(8, True), (8, False)]
    assert len(list(tmp_path.glob("adding-*.code"))) == 1
    assert adding(5) == (6, True)


def test_damaged_code_is_made_anew(adding, tmp_path):
    adding(5)
    (file,) = tmp_path.glob("*.code")
    file.write_bytes(file.read_bytes()[:-9])
    assert adding(5) == (6, True)


def test_what_cannot_be_kept_is_made_anew(adding, monkeypatch):
    monkeypatch.setattr(kept, "_write", lambda *_: (_ for _ in ()).throw(OSError("full")))
    assert [adding(5), adding(5)] == [(6, True), (6, True)]


def test_on_other_systems_nothing_is_kept(adding, tmp_path, monkeypatch):
    monkeypatch.setattr(machine_code, "CAN_BE_KEPT", False)
    assert [adding(5), adding(5)] == [(6, True), (6, True)]
    assert not list(tmp_path.iterdir())


def test_a_function_that_is_not_there_is_an_error(adding):
    with pytest.raises(KeyError):
        adding(5, "minus")


def test_no_signal_interrupts_what_makes_code(adding, monkeypatch):
    """Signals come to the main thread alone."""
    threads, parse = [], llvm.parse_assembly

    def parsed(text):
        threads.append(threading.current_thread())
        return parse(text)

    monkeypatch.setattr(llvm, "parse_assembly", parsed)
    monkeypatch.setattr(machine_code, "load", refused)
    assert [adding(5), adding(5)] == [(6, True), (6, False)]
    assert len(threads) >= 3
    assert threading.main_thread() not in threads


def refused(*_):
    raise ValueError("not understood")


@pytest.mark.parametrize("error", [ValueError, KeyError, OSError])
def test_what_cannot_be_loaded_here_is_linked_by_llvm(adding, monkeypatch, error):
    def load(*_):
        raise error("not here")

    monkeypatch.setattr(machine_code, "load", load)
    assert [adding(5), adding(5)] == [(6, True), (6, False)]


def test_llvm_s_words_for_the_processor_are_its_own(adding, tmp_path):
    features = llvm.get_host_cpu_features()
    for _ in range(2):
        kept.host.cache_clear()
        found = kept.host()
        assert (found.name, found.features) == (llvm.get_host_cpu_name(), dict(features))
        assert (found.triple, found.flat()) == (llvm.get_process_triple(), features.flatten())
    assert len(list(tmp_path.glob("processor-*.code"))) == can_load()


@pytest.mark.skipif(not can_load(), reason="LLVM is asked each time")
def test_llvm_is_asked_once_for_all_that_a_processor_says(adding, tmp_path, monkeypatch):
    kept.host.cache_clear()
    here = kept.host()
    other = Processor("another", {"avx": True}, "another")
    monkeypatch.setattr(kept, "_by_llvm", lambda: other)
    kept.host.cache_clear()
    assert kept.host() == here
    monkeypatch.setattr(kept, "registers", lambda: b"another")
    kept.host.cache_clear()
    assert kept.host() == other
    monkeypatch.undo()
    kept.host.cache_clear()


CODE_THAT_IS_KEPT = """
import sys, numpy as np
from audionmf import nmf
from audionmf.spectra.fused import FramePass
nmf.fit(np.ones((9, 20), np.float32), 2, seed=0, max_iter=2)
out = np.empty((3, 40), np.float32)
FramePass(lambda x: [x + x], "f", "f")([np.ones((3, 40), np.float32)], [out])
print(out.sum(), "llvmlite" in sys.modules, "numba" in sys.modules)
"""


@pytest.mark.skipif(not can_load(), reason="LLVM's linker loads it")
def test_code_that_is_kept_is_loaded_without_llvm():
    for _ in range(2):
        command = [sys.executable, "-c", CODE_THAT_IS_KEPT]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "240.0 False False\n", done.stderr
