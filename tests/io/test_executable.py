"""Object files in memory: what is in them runs, and what is not understood is refused."""

import ctypes
import struct

import llvmlite.binding as llvm
import pytest

from audionmf.io import executable
from audionmf.io.executable import can_load, load, registers

TEXT = """
@numbers = private constant [3 x i64] [i64 5, i64 7, i64 11]
@count = internal global i64 40
@empty = common global i64 0
@table = private constant [2 x i64 (i64)*] [i64 (i64)* @inner, i64 (i64)* @twice]
declare i64 @labs(i64)
declare void @llvm.memset.p0i8.i64(i8*, i8, i64, i1)
define internal i64 @inner(i64 %x) {
  %y = add i64 %x, 1000
  ret i64 %y
}
define i64 @twice(i64 %x) {
  %y = shl i64 %x, 1
  ret i64 %y
}
define i64 @called(i64 %i) {
  %p = getelementptr [2 x i64 (i64)*], [2 x i64 (i64)*]* @table, i64 0, i64 %i
  %f = load i64 (i64)*, i64 (i64)** %p
  %y = call i64 %f(i64 %i)
  ret i64 %y
}
define i64 @number(i64 %i) {
  %p = getelementptr [3 x i64], [3 x i64]* @numbers, i64 0, i64 %i
  %y = load i64, i64* %p
  ret i64 %y
}
define i64 @counted(i64 %x) {
  %had = load volatile i64, i64* @count
  %has = add i64 %had, %x
  store volatile i64 %has, i64* @count
  %e = load volatile i64, i64* @empty
  %f = add i64 %e, 1
  store volatile i64 %f, i64* @empty
  %y = mul i64 %has, %f
  ret i64 %y
}
define i64 @outside(i64 %x) {
  %y = call i64 @labs(i64 %x)
  ret i64 %y
}
define void @zero(i8* %p, i64 %n) {
  call void @llvm.memset.p0i8.i64(i8* %p, i8 0, i64 %n, i1 false)
  ret void
}
"""
UNKNOWN = """
declare i64 @no_such_name(i64)
define i64 @f(i64 %x) {
  %y = call i64 @no_such_name(i64 %x)
  ret i64 %y
}
"""
A_THREAD = """
@own = internal thread_local global i64 1
define i64 @f() {
  %y = load i64, i64* @own
  ret i64 %y
}
"""
CHOSEN = """
@f = ifunc i64 (i64), i64 (i64)* ()* @choose
define i64 (i64)* @choose() {
  ret i64 (i64)* null
}
define i64 @g(i64 %x) {
  %y = call i64 @f(i64 %x)
  ret i64 %y
}
"""

here = pytest.mark.skipif(not can_load(), reason="object files of another kind of system")


def object_file(text, codemodel="jitdefault"):
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(codemodel=codemodel, reloc="static")
    return machine.emit_object(llvm.parse_assembly(text))


def function(loaded, name, *arguments, result=ctypes.c_int64):
    return ctypes.CFUNCTYPE(result, *arguments)(loaded.get_function_address(name))


@pytest.fixture(scope="module")
def loaded():
    return load(object_file(TEXT))


@here
def test_functions_run_with_their_numbers_and_each_other(loaded):
    called, number = (function(loaded, n, ctypes.c_int64) for n in ("called", "number"))
    assert [called(0), called(1)] == [1000, 2]
    assert [number(i) for i in range(3)] == [5, 7, 11]


@here
def test_variables_are_written_and_begin_anew_in_each_copy(loaded):
    for _ in range(2):
        counted = function(load(object_file(TEXT)), "counted", ctypes.c_int64)
        assert [counted(1), counted(1)] == [41, 84]


@here
def test_what_the_process_has_is_found(loaded):
    assert function(loaded, "outside", ctypes.c_int64)(-9) == 9
    text = ctypes.create_string_buffer(b"abcdef")
    zero = function(loaded, "zero", ctypes.c_void_p, ctypes.c_int64, result=None)
    zero(ctypes.addressof(text), 4)
    assert text.raw == b"\0\0\0\0ef\0"


@here
def test_only_what_others_may_call_has_a_place(loaded):
    assert set(loaded.functions) == {"twice", "called", "number", "counted", "outside", "zero"}
    assert loaded.get_function_address("inner") == 0


@here
def test_nothing_is_both_written_and_run(loaded):
    place = loaded.get_function_address("twice")
    with open("/proc/self/maps", encoding="ascii") as file:  # noqa: PTH123
        for line in file:
            begin, end = (int(edge, 16) for edge in line.split()[0].split("-"))
            if begin <= place < end:
                assert line.split()[1].startswith("r-x")


@here
@pytest.mark.parametrize(
    ("text", "codemodel", "error"),
    [(UNKNOWN, "jitdefault", KeyError), (A_THREAD, "jitdefault", ValueError),
     (CHOSEN, "jitdefault", ValueError), (TEXT, "small", ValueError)],
    ids=["a name that is nowhere", "variables of a thread", "chosen when called", "short references"],
)  # fmt: skip
def test_what_is_not_understood_is_refused(text, codemodel, error):
    with pytest.raises(error):
        load(object_file(text, codemodel))


@here
def test_damaged_files_are_refused():
    code = object_file(TEXT)
    for damaged in (b"", code[:40], code[: len(code) // 2], code[:-1], b"\x7fELF" + bytes(60)):
        with pytest.raises(ValueError):
            load(damaged)
    for at, form, number in ((4, "B", 1), (5, "B", 2), (16, "<H", 3), (18, "<H", 183)):
        other = bytearray(code)  # of 32 bits, the other way round, a library, for another processor
        struct.pack_into(form, other, at, number)
        with pytest.raises(ValueError):
            load(bytes(other))


@here
@pytest.mark.parametrize("kind", [0, 2, 4, 10, 24])
def test_references_that_are_no_whole_addresses_are_refused(kind):
    code = bytearray(object_file(TEXT))
    sections = executable._Object(bytes(code))._sections
    into = {i for i, s in enumerate(sections) if s.kind == 1 and s.flags & 4}
    start = next(s.start for s in sections if s.kind == 4 and s.of in into)
    assert struct.unpack_from("<I", code, start + 8) == (1,)
    struct.pack_into("<I", code, start + 8, kind)
    with pytest.raises(ValueError, match="another kind"):
        load(bytes(code))


@here
def test_a_name_that_is_said_to_be_needed_has_to_be_there():
    code = object_file(TEXT)
    assert load(code, ["memset", "PyErr_SetString"]).functions
    with pytest.raises(KeyError, match="no_such_name"):
        load(code, ["memset", "no_such_name"])


def test_on_other_systems_all_is_refused(monkeypatch):
    monkeypatch.setattr(executable, "can_load", lambda: False)
    with pytest.raises(ValueError, match="another kind of system"):
        load(object_file(TEXT))
    registers.cache_clear()
    assert registers() is None
    registers.cache_clear()


@here
def test_without_memory_that_can_be_run_that_is_said(monkeypatch):
    monkeypatch.setattr(executable._process(), "mprotect", lambda *_: -1)
    with pytest.raises(OSError, match="can be run"):
        load(object_file(TEXT))


@here
def test_what_the_processor_says_is_what_the_system_has_read():
    told = struct.unpack("<29I", registers())
    with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
        lines = file.read().partition("\n\n")[0].splitlines()
    known = dict(tuple(part.strip() for part in line.partition(":")[::2]) for line in lines)
    assert struct.pack("<3I", told[1], told[3], told[2]).decode() == known["vendor_id"]
    signature = told[4]
    family, model = signature >> 8 & 15, signature >> 4 & 15
    if family in (6, 15):
        model += (signature >> 16 & 15) << 4
    if family == 15:
        family += signature >> 20 & 255
    assert (family, model) == (int(known["cpu family"]), int(known["model"]))
    flags = known["flags"].split()
    assert ("avx512f" in flags) <= bool(told[8] >> 16 & 1)
    assert bool(told[5] >> 19 & 1) == ("sse4_1" in flags)
