"""Sums of neighbouring rows.

Groups of few rows are what NumPy's sums over slices are slowest at, so there is machine code for what
is summed most: spectra in single precision, the bins of a frame as neighbours. It takes four frames
at a time and adds the rows of a group one after the other.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.spectra.machine_code import host, made

__all__ = ["rows_summed"]

Matrix = NDArray[np.floating[Any]]

_AT_ONCE = 4
_SYMBOL = "sum_rows"
_TEXT = """
define void @sum_rows(float* %V, i64 %stride, i64 %n, i64* %edges, i64 %groups, float* %sums) {
entry:
  %last = sub i64 %n, 1
  br label %frames
frames:
  %t = phi i64 [ 0, %entry ], [ %t4, %over ]
PLACES
  br label %group
group:
  %g = phi i64 [ 0, %frames ], [ %g1, %store ]
  %from.at = getelementptr i64, i64* %edges, i64 %g
  %from = load i64, i64* %from.at, align 8
  %g1 = add i64 %g, 1
  %to.at = getelementptr i64, i64* %edges, i64 %g1
  %to = load i64, i64* %to.at, align 8
  br label %row
row:
  %f = phi i64 [ %from, %group ], [ %f1, %row ]
SUMS
  %f1 = add i64 %f, 1
  %on = icmp slt i64 %f1, %to
  br i1 %on, label %row, label %store
store:
STORES
  %more = icmp slt i64 %g1, %groups
  br i1 %more, label %group, label %over
over:
  %t4 = add i64 %t, AT_ONCE
  %left = icmp slt i64 %t4, %n
  br i1 %left, label %frames, label %end
end:
  ret void
}
"""
_PLACE = """  %t.I = add i64 %t, OFFSET
  %past.I = icmp sgt i64 %t.I, %last
  %frame.I = select i1 %past.I, i64 %last, i64 %t.I
  %from.I = mul i64 %frame.I, %stride
  %row.I = getelementptr float, float* %V, i64 %from.I
  %to.I = mul i64 %frame.I, %groups
  %sums.I = getelementptr float, float* %sums, i64 %to.I"""
_SUM = "  %s.I = phi float [ -0.0, %group ], [ %s1.I, %row ]"
_ADD = """  %x.at.I = getelementptr float, float* %row.I, i64 %f
  %x.I = load float, float* %x.at.I, align 4
  %s1.I = fadd float %s.I, %x.I"""
_STORE = """  %sum.at.I = getelementptr float, float* %sums.I, i64 %g
  store float %s1.I, float* %sum.at.I, align 4"""


def rows_summed(V: Matrix, edges: NDArray[np.int64]) -> Matrix:
    """Return V with the rows of each group of neighbours added up.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n)
        Rows. Fastest in single precision and Fortran order.
    edges : ndarray, shape (n_groups,)
        The first row of each group, from 0 on, ascending.

    Returns
    -------
    ndarray, shape (n_groups, n)
        Groups as neighbours in memory.
    """
    rows = V.T
    sums = np.empty((len(rows), len(edges)), rows.dtype)
    run = _code() if rows.dtype == np.float32 and rows.strides[1] == rows.itemsize else None
    if run is None or not sums.size:
        np.add.reduceat(rows, edges, axis=1, out=sums)
        return sums.T
    ends = np.append(edges, len(V)).astype(np.int64, copy=False)
    stride = rows.strides[0] // rows.itemsize
    run(rows.ctypes.data, stride, len(rows), ends.ctypes.data, len(edges), sums.ctypes.data)
    return sums.T


@functools.cache
def _code() -> Callable[..., None] | None:
    """Return the machine code; None where there is no compiler, or no source to tell versions by."""
    if not host().features:
        return None
    try:
        sources = Path(__file__).read_bytes()
    except OSError:  # a frozen program has no such file
        return None
    place = made("sum-rows", sources, _text, [_SYMBOL])
    number, array = ctypes.c_int64, ctypes.c_void_p
    return ctypes.CFUNCTYPE(None, array, number, number, array, number, array)(place[_SYMBOL])


def _text() -> str:
    """Return the function in LLVM's language."""

    def each(*parts: str) -> str:
        lines = [
            part.replace(".I", f".{i}").replace("OFFSET", str(i))
            for part in parts
            for i in range(_AT_ONCE)
        ]
        return "\n".join(lines)

    text = _TEXT.replace("PLACES", each(_PLACE)).replace("SUMS", each(_SUM, _ADD))
    return text.replace("STORES", each(_STORE)).replace("AT_ONCE", str(_AT_ONCE))
