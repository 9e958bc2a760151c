"""Templates of several channels brought to gains times spectra, in one pass over the memory.

After each update and each leap of momentum all templates are brought there: in NumPy, which goes over
them four times, that is a fifth of an iteration where a recording is short. Here the sums of a
template and the product are taken while it is in the cache. Sums are taken in the order that NumPy has
for single precision, by halves, in eight lanes: the results are the same.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from audionmf.spectra.machine_code import host, made

__all__ = ["make_rank_one"]

_SYMBOL = "rank_one"
_TEXT = """
define internal float @added(float* %a, i64 %n) {
entry:
  %short = icmp slt i64 %n, 8
  br i1 %short, label %rest, label %longer
longer:
  %whole = icmp sle i64 %n, 128
  br i1 %whole, label %begin, label %halve
begin:
  %wide = bitcast float* %a to <8 x float>*
  %first = load <8 x float>, <8 x float>* %wide, align 4
  %even = and i64 %n, -8
  %one = icmp eq i64 %even, 8
  br i1 %one, label %fold, label %lanes
lanes:
  %i = phi i64 [ 8, %begin ], [ %i8, %lanes ]
  %sums = phi <8 x float> [ %first, %begin ], [ %more, %lanes ]
  %at = getelementptr float, float* %a, i64 %i
  %at8 = bitcast float* %at to <8 x float>*
  %next = load <8 x float>, <8 x float>* %at8, align 4
  %more = fadd <8 x float> %sums, %next
  %i8 = add i64 %i, 8
  %on = icmp slt i64 %i8, %even
  br i1 %on, label %lanes, label %fold
fold:
  %eight = phi <8 x float> [ %first, %begin ], [ %more, %lanes ]
  %e4 = shufflevector <8 x float> %eight, <8 x float> undef, <4 x i32> <i32 0, i32 2, i32 4, i32 6>
  %o4 = shufflevector <8 x float> %eight, <8 x float> undef, <4 x i32> <i32 1, i32 3, i32 5, i32 7>
  %four = fadd <4 x float> %e4, %o4
  %e2 = shufflevector <4 x float> %four, <4 x float> undef, <2 x i32> <i32 0, i32 2>
  %o2 = shufflevector <4 x float> %four, <4 x float> undef, <2 x i32> <i32 1, i32 3>
  %two = fadd <2 x float> %e2, %o2
  %e1 = extractelement <2 x float> %two, i32 0
  %o1 = extractelement <2 x float> %two, i32 1
  %folded = fadd float %e1, %o1
  br label %rest
rest:
  %from = phi i64 [ 0, %entry ], [ %even, %fold ]
  %begun = phi float [ -0.0, %entry ], [ %folded, %fold ]
  %none = icmp eq i64 %from, %n
  br i1 %none, label %done, label %single
single:
  %j = phi i64 [ %from, %rest ], [ %j1, %single ]
  %sum = phi float [ %begun, %rest ], [ %sum1, %single ]
  %place = getelementptr float, float* %a, i64 %j
  %x = load float, float* %place, align 4
  %sum1 = fadd float %sum, %x
  %j1 = add i64 %j, 1
  %left = icmp slt i64 %j1, %n
  br i1 %left, label %single, label %done
done:
  %found = phi float [ %begun, %rest ], [ %sum1, %single ]
  ret float %found
halve:
  %half = lshr i64 %n, 1
  %low = and i64 %half, -8
  %high = sub i64 %n, %low
  %middle = getelementptr float, float* %a, i64 %low
  %left.sum = call float @added(float* %a, i64 %low)
  %right.sum = call float @added(float* %middle, i64 %high)
  %both = fadd float %left.sum, %right.sum
  ret float %both
}

define void @rank_one(float* %W, float* %shares, i64 %K, i64 %C, i64 %F) {
entry:
  %size = mul i64 %C, %F
  %whole = and i64 %F, -LANES
  br label %template
template:
  %k = phi i64 [ 0, %entry ], [ %k1, %ended ]
  %at = mul i64 %k, %size
  %w = getelementptr float, float* %W, i64 %at
  %total = call float @added(float* %w, i64 %size)
  %silent = fcmp oeq float %total, 0.0
  %under = select i1 %silent, float 1.0, float %total
  br label %gain
gain:
  %c = phi i64 [ 0, %template ], [ %c1, %gain ]
  %c.at = mul i64 %c, %F
  %row = getelementptr float, float* %w, i64 %c.at
  %gained = call float @added(float* %row, i64 %F)
  %share = fdiv float %gained, %under
  %share.at = getelementptr float, float* %shares, i64 %c
  store float %share, float* %share.at, align 4
  %c1 = add i64 %c, 1
  %c.on = icmp slt i64 %c1, %C
  br i1 %c.on, label %gain, label %bins
bins:
  %some = icmp sgt i64 %whole, 0
  br i1 %some, label %bin, label %last
PRODUCTS
ended:
  %k1 = add i64 %k, 1
  %k.on = icmp slt i64 %k1, %K
  br i1 %k.on, label %template, label %end
end:
  ret void
}
"""
_PRODUCT = """
NAME:
  %NAME.f = phi i64 [ FIRST, %BEFORE ], [ %NAME.f1, %NAME.over ]
  %NAME.w = getelementptr float, float* %w, i64 %NAME.f
  %NAME.p = bitcast float* %NAME.w to TYPE*
  %NAME.x = load TYPE, TYPE* %NAME.p, align 4
  br label %NAME.spectrum
NAME.spectrum:
  %NAME.c = phi i64 [ 1, %NAME ], [ %NAME.c1, %NAME.add ]
  %NAME.s = phi TYPE [ %NAME.x, %NAME ], [ %NAME.s1, %NAME.add ]
  %NAME.on = icmp slt i64 %NAME.c, %C
  br i1 %NAME.on, label %NAME.add, label %NAME.product
NAME.add:
  %NAME.o = mul i64 %NAME.c, %F
  %NAME.q = getelementptr float, float* %NAME.w, i64 %NAME.o
  %NAME.qp = bitcast float* %NAME.q to TYPE*
  %NAME.y = load TYPE, TYPE* %NAME.qp, align 4
  %NAME.s1 = fadd TYPE %NAME.s, %NAME.y
  %NAME.c1 = add i64 %NAME.c, 1
  br label %NAME.spectrum
NAME.product:
  %NAME.d = phi i64 [ 0, %NAME.spectrum ], [ %NAME.d1, %NAME.product ]
  %NAME.sat = getelementptr float, float* %shares, i64 %NAME.d
  %NAME.share = load float, float* %NAME.sat, align 4
SPREAD
  %NAME.z = fmul TYPE %NAME.all, %NAME.s
  %NAME.do = mul i64 %NAME.d, %F
  %NAME.t = getelementptr float, float* %NAME.w, i64 %NAME.do
  %NAME.tp = bitcast float* %NAME.t to TYPE*
  store TYPE %NAME.z, TYPE* %NAME.tp, align 4
  %NAME.d1 = add i64 %NAME.d, 1
  %NAME.don = icmp slt i64 %NAME.d1, %C
  br i1 %NAME.don, label %NAME.product, label %NAME.over
NAME.over:
  %NAME.f1 = add i64 %NAME.f, STEP
  %NAME.fon = icmp slt i64 %NAME.f1, LIMIT
  br i1 %NAME.fon, label %NAME, label %AFTER
"""
_SPREAD_WIDE = """
  %NAME.one = insertelement TYPE undef, float %NAME.share, i32 0
  %NAME.all = shufflevector TYPE %NAME.one, TYPE undef, <LANES x i32> zeroinitializer
"""
_SPREAD = "  %NAME.all = fadd float %NAME.share, -0.0"


def make_rank_one(W: Any) -> None:
    """Bring templates, in place, to gains of the channels times a spectrum.

    Parameters
    ----------
    W : array, shape (n_components, n_channels, n_bins)
        Templates, ≥ 0; of NumPy, or of a device.
    """
    run = _code() if _is_plain(W) else None
    if run is None:
        totals = W.sum(axis=(1, 2), keepdims=True)
        gains, spectra = W.sum(axis=2, keepdims=True), W.sum(axis=1, keepdims=True)
        W[...] = gains / (totals + (totals == 0)) * spectra
        return
    shares = np.empty(W.shape[1], np.float32)
    run(W.ctypes.data, shares.ctypes.data, *W.shape)


def _is_plain(W: Any) -> bool:
    plain = isinstance(W, np.ndarray) and W.dtype == np.float32 and W.flags.c_contiguous
    return plain and W.size > 0


@functools.cache
def _code() -> Callable[..., None] | None:
    """Return the machine code; None where there is no compiler."""
    features = host().features
    if not features:
        return None
    lanes = 16 if features.get("avx512f") else 8 if features.get("avx") else 4
    place = made(f"rank-one-{lanes}", Path(__file__).read_bytes(), lambda: _text(lanes), [_SYMBOL])
    number = ctypes.c_int64
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, number, number, number)
    return prototype(place[_SYMBOL])


def _text(lanes: int) -> str:
    """Return the functions in LLVM's language, for vectors of so many numbers."""
    kinds = f"<{lanes} x float>"
    wide = _filled(
        _PRODUCT, NAME="bin", FIRST="0", BEFORE="bins", TYPE=kinds, STEP=str(lanes), LIMIT="%whole",
        AFTER="last", SPREAD=_SPREAD_WIDE,
    )  # fmt: skip
    single = _filled(
        _PRODUCT, NAME="one", FIRST="%whole", BEFORE="last", TYPE="float", STEP="1", LIMIT="%F",
        AFTER="ended", SPREAD=_SPREAD,
    )  # fmt: skip
    between = "last:\n  %few = icmp slt i64 %whole, %F\n  br i1 %few, label %one, label %ended"
    return _filled(_TEXT, PRODUCTS=f"{wide}{between}{single}", LANES=str(lanes))


def _filled(text: str, **words: str) -> str:
    """Return a text with words in the place of others; SPREAD, which holds others, comes first."""
    for word in sorted(words, key=lambda word: word != "SPREAD"):
        text = text.replace(word, words[word])
    return text
