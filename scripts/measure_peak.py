#!/usr/bin/env python3
"""Measure how many multiply-adds a second the processor does where nothing but registers is used.

measure_peak.py [--threads N ...]

A loop over 16 vectors of single precision, each multiplied and added to with two more, made by LLVM
for this processor: what no product of matrices can beat. Two operations are counted for each.
"""

from __future__ import annotations

import argparse
import ctypes
import time
from concurrent.futures import ThreadPoolExecutor

import llvmlite.binding as llvm
from llvmlite import ir

from audionmf.nmf.shapes import BITS

CHAINS, LANES, ROUNDS = 16, BITS // 32, 4_000_000


def main() -> None:
    """Print the peak for each number of threads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    for n in parser.parse_args().threads:
        print(f"{n} threads: {peak(n) / 1e9:.0f} GFLOP/s")


def peak(n_threads: int, repeats: int = 5) -> float:
    """Return the floating-point operations a second, the best of some runs."""
    loop = _Loop()
    with ThreadPoolExecutor(n_threads) as pool:
        best = min(_seconds(pool, loop, n_threads) for _ in range(repeats))
    return 2 * CHAINS * LANES * ROUNDS * n_threads / best


def _seconds(pool: ThreadPoolExecutor, loop: _Loop, n_threads: int) -> float:
    begin = time.perf_counter()
    list(pool.map(loop, range(n_threads)))
    return time.perf_counter() - begin


class _Loop:
    """The loop as machine code; ctypes lets other threads go on while it runs."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
        target = llvm.Target.from_default_triple()
        self._machine = target.create_target_machine(cpu=cpu, features=features, opt=2)
        module = llvm.parse_assembly(str(_module()))
        self._engine = llvm.create_mcjit_compiler(module, self._machine)
        self._engine.finalize_object()
        address = self._engine.get_function_address("loop")
        self._run = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)(address)

    def __call__(self, _: int) -> None:
        out = (ctypes.c_float * LANES)()
        self._run(ROUNDS, out)


def _module() -> ir.Module:
    module, i64 = ir.Module(), ir.IntType(64)
    vector = ir.VectorType(ir.FloatType(), LANES)
    kind = ir.FunctionType(ir.VoidType(), [i64, ir.IntType(8).as_pointer()])
    function = ir.Function(module, kind, "loop")
    of_three = ir.FunctionType(vector, [vector] * 3)
    multiply_add = ir.Function(module, of_three, f"llvm.fma.v{LANES}f32")
    entry, body, done = (function.append_basic_block(name) for name in ("entry", "body", "done"))
    builder = ir.IRBuilder(entry)
    place = builder.bitcast(function.args[1], vector.as_pointer())
    start = builder.load(place, align=4)  # zeros that the compiler does not know
    builder.branch(body)
    builder.position_at_end(body)
    i = builder.phi(i64)
    sums = [builder.phi(vector) for _ in range(CHAINS)]
    moved = [builder.call(multiply_add, [start, start, x]) for x in sums]
    following = builder.add(i, i64(1))
    i.add_incoming(i64(0), entry)
    i.add_incoming(following, body)
    for n, (x, y) in enumerate(zip(sums, moved, strict=True)):
        x.add_incoming(ir.Constant(vector, [float(n + 1)] * LANES), entry)
        x.add_incoming(y, body)
    builder.cbranch(builder.icmp_signed("<", following, function.args[0]), body, done)
    builder.position_at_end(done)
    total = moved[0]
    for x in moved[1:]:
        total = builder.fadd(total, x)
    builder.store(total, place, align=4)
    builder.ret_void()
    return module


if __name__ == "__main__":
    main()
