"""Machine code is made once, kept, and loaded again; where nothing can be kept it is made anew."""

import ctypes
import threading

import llvmlite.binding as llvm
import pytest

from audionmf.io import kept
from audionmf.spectra import machine_code
from audionmf.spectra.machine_code import made

TEXT = "define i64 @{}(i64 %x) {{\n  %y = add i64 %x, {}\n  ret i64 %y\n}}"


@pytest.fixture
def adding(tmp_path, monkeypatch):
    """Return what makes a function that adds a number, in a folder of its own."""
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
    assert [adding(5), adding(5)] == [(6, True), (6, False)]
    assert len(threads) >= 3
    assert threading.main_thread() not in threads
