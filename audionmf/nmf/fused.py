"""The Kullback–Leibler update on a graphics card in one pass over V, as kernels that Triton compiles.

A tile of V is divided by its tile of the model and multiplied back while it is in the registers of
the card: neither the model nor the ratio is ever written to its memory, which is what bounds the
same work in PyTorch's operations. Products are made of three in TF32 each, whose sum is that of
single precision up to its last bits. The sums are taken in one order, whatever the card.

Triton comes with PyTorch's builds for cards on Linux; `usable` tells whether it can be used here.
"""

import functools
import subprocess
from typing import Any

import torch
import triton
import triton.language as tl

__all__ = ["MOST_COMPONENTS", "Passes", "usable"]

MOST_COMPONENTS = 64
_TINY = 1e-30
_FRAMES, _BINS, _GATHERED_BINS, _SPLITS = 64, 32, 64, 64
_COMPILED = {"num_warps": 4, "num_stages": 2}
_PRECISION = "tf32x3"


@triton.jit
def _projected(
    V, W, h, rows, held, pitch, n_bins, tiny, divergence: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Return (V / h W) Wᵀ of some frames, and what each adds to the divergence."""
    columns, ks = tl.arange(0, BN), tl.arange(0, BK)
    total = tl.zeros([BM, BK], tl.float32)
    value = tl.zeros([BM], tl.float64)
    for at in range(0, n_bins, BN):
        bins = at + columns
        w = tl.load(W + ks[:, None] * pitch + bins[None, :])
        v = tl.load(V + rows[:, None] * pitch + bins[None, :], mask=held[:, None], other=0.0)
        ratio = v / tl.maximum(tl.dot(h, w, input_precision=PRECISION), tiny)
        if divergence:
            part = tl.where(v > 0, v * tl.log(tl.maximum(ratio, tiny)), 0.0) - v
            value += tl.sum(part, axis=1).to(tl.float64)
        total += tl.dot(ratio, tl.trans(w), input_precision=PRECISION)
    return total, value


@triton.jit
def _update(
    V, W, H, sums, free, values, n_frames, pitch, n_bins, n, tiny,
    divergence: tl.constexpr, moving: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Update some frames of H in place; note what they add to the divergence before."""
    rows = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)
    held, ks = rows < n_frames, tl.arange(0, BK)
    there, place = held[:, None] & (ks < n)[None, :], H + rows[:, None] * n + ks[None, :]
    h = tl.load(place, mask=there, other=0.0)
    total, value = _projected(
        V, W, h, rows, held, pitch, n_bins, tiny, divergence, BM, BN, BK, PRECISION
    )
    if divergence:
        tl.store(values + rows, value, mask=held)
    if moving:
        s = tl.load(sums + ks, mask=ks < n, other=1.0)
        f = tl.load(free + ks, mask=ks < n, other=0) != 0
        new = h * (total / s[None, :])
        new = tl.where(new > tiny, new, 0.0)
        tl.store(place, tl.where(f[None, :], new, h), mask=there)


@triton.jit
def _gather(
    V, W, H, parts, n_frames, pitch, n, tiny, per,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write Hᵀ (V / H W) of `per` frames for some bins."""
    bins, ks = tl.program_id(0) * BN + tl.arange(0, BN), tl.arange(0, BK)
    w = tl.load(W + ks[:, None] * pitch + bins[None, :])
    total = tl.zeros([BK, BN], tl.float32)
    first = tl.program_id(1).to(tl.int64) * per
    for at in range(0, per, BM):
        rows = first + at + tl.arange(0, BM)
        held = rows < n_frames
        there = held[:, None] & (ks < n)[None, :]
        h = tl.load(H + rows[:, None] * n + ks[None, :], mask=there, other=0.0)
        v = tl.load(V + rows[:, None] * pitch + bins[None, :], mask=held[:, None], other=0.0)
        ratio = v / tl.maximum(tl.dot(h, w, input_precision=PRECISION), tiny)
        total += tl.dot(tl.trans(h), ratio, input_precision=PRECISION)
    tl.store(parts + (tl.program_id(1) * BK + ks[:, None]) * pitch + bins[None, :], total)


@triton.jit
def _activate(
    V, W, H, sums, free, n_frames, pitch, n_bins, n, tiny, n_iter,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Update some frames of H `n_iter` times, with momentum that restarts in a frame going uphill."""
    rows = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)
    held, ks = rows < n_frames, tl.arange(0, BK)
    there, place = held[:, None] & (ks < n)[None, :], H + rows[:, None] * n + ks[None, :]
    at = tl.load(place, mask=there, other=0.0)
    s = tl.load(sums + ks, mask=ks < n, other=1.0)[None, :]
    f = (tl.load(free + ks, mask=ks < n, other=0) != 0)[None, :]
    slope = tl.where(f & (s < 1e38), s, 0.0)  # a silent template has an infinite sum
    previous = at
    age = tl.zeros([BM], tl.float32)
    for i in range(n_iter):
        total, _ = _projected(
            V, W, at, rows, held, pitch, n_bins, tiny, False, BM, BN, BK, PRECISION
        )
        ratio = total / s
        new = at * ratio
        new = tl.where(f, tl.where(new > tiny, new, 0.0), at)
        step = (1.0 - ratio) * (new - previous) * slope
        age = tl.where((tl.sum(step, axis=1) > 0) & (i > 0), 0.0, age + 1.0)
        b = tl.maximum((age - 1.0) / (age + 2.0), 0.0)[:, None]
        both = (new > 0) & (previous > 0) & (i > 0) & (i < n_iter - 1)
        over = (1.0 + b) * new + (1.0 - b) * previous
        under = tl.where(both, (1.0 - b) * new + (1.0 + b) * previous, 1.0)
        at = tl.where(both, new * (over / under), new)
        previous = new
    tl.store(place, at, mask=there)


class Passes:
    """What is done in one pass over V, for β = 1 in single precision.

    Parameters
    ----------
    V : Tensor, shape (n_frames, n_bins), float32
        Data, ≥ 0, as `spacious` lays it out.
    n_components : int
        1 to `MOST_COMPONENTS`.
    free : Tensor of bool, shape (n_components,)
        The components whose activations are updated.
    """

    def __init__(self, V: Any, n_components: int, free: Any) -> None:
        self._V, self._n, self._pitch = V, n_components, V.stride(0)
        self._free = free.to(torch.int32)
        self._width = max(16, 1 << (n_components - 1).bit_length())  # tiles are powers of two
        self._values = V.new_zeros(len(V), dtype=torch.float64)
        self._blocks = -(-len(V) // _FRAMES)
        self._splits = max(1, min(_SPLITS, self._blocks))
        self._parts: Any = None

    def update(
        self, W: Any, H: Any, sums: Any, *, moving: bool, gather: bool, divergence: bool
    ) -> tuple[Any, Any]:
        """Update H in place, and gather for W with the new H.

        Parameters
        ----------
        W : Tensor, shape (n_components, n_bins)
            Templates.
        H : Tensor, shape (n_frames, n_components)
            Activations.
        sums : Tensor, shape (n_components,)
            What divides the update; infinite for silent templates.
        moving, gather, divergence : bool
            Whether H is updated, W gathered for, and the divergence taken.

        Returns
        -------
        tuple of Tensor
            The divergence before, without the sum of the model; and Hᵀ (V / HW), (n_components,
            n_bins). 0 where not asked for.
        """
        n_frames, n_bins = self._V.shape
        templates = self._wide(W)
        point = H.to(torch.float32).contiguous()
        if moving or divergence:
            _update[(self._blocks,)](
                self._V, templates, point, sums, self._free, self._values, n_frames, self._pitch,
                n_bins, self._n, _TINY, divergence, moving, _FRAMES, _BINS, self._width,
                _PRECISION, **_COMPILED,
            )  # fmt: skip
            _carry(point, H)
        value = self._values.sum() if divergence else 0
        if not gather:
            return value, 0
        if self._parts is None:
            self._parts = W.new_zeros(self._splits, self._width, self._pitch)
        per = -(-self._blocks // self._splits) * _FRAMES
        _gather[(-(-n_bins // _GATHERED_BINS), self._splits)](
            self._V, templates, point, self._parts, n_frames, self._pitch, self._n, _TINY, per,
            _FRAMES, _GATHERED_BINS, self._width, _PRECISION, **_COMPILED,
        )  # fmt: skip
        return value, self._parts.sum(dim=0)[: self._n, :n_bins]

    def activate(self, W: Any, H: Any, sums: Any, n_iter: int) -> None:
        """Update H `n_iter` times in place, every frame for itself; parameters as in `update`."""
        n_frames, n_bins = self._V.shape
        point = H.to(torch.float32).contiguous()
        _activate[(self._blocks,)](
            self._V, self._wide(W), point, sums, self._free, n_frames, self._pitch, n_bins, self._n,
            _TINY, n_iter, _FRAMES, _BINS, self._width, _PRECISION, **_COMPILED,
        )  # fmt: skip
        _carry(point, H)

    def _wide(self, W: Any) -> Any:
        """Return templates with zeros around them, so that tiles need no edges."""
        wide = W.new_zeros(self._width, self._pitch)
        wide[: self._n, : W.shape[1]] = W
        return wide


def _carry(point: Any, H: Any) -> None:
    """Copy activations back where the kernels worked on a copy of them."""
    if point.data_ptr() != H.data_ptr():
        H.copy_(point)


def spacious(n_frames: int, n_bins: int, place: Any) -> Any:
    """Return zeros (n_frames, n_bins), float32, in rows long enough for whole tiles."""
    pitch = -(-n_bins // _GATHERED_BINS) * _GATHERED_BINS
    return torch.zeros(n_frames, pitch, device=place)[:, :n_bins]


@functools.cache
def usable(place: Any, n_components: int) -> bool:
    """Tell whether the kernels run on a device, and give there what PyTorch's operations give.

    Where they do not, as without a C compiler or on a card with little shared memory, the same is
    done by those operations.
    """
    if n_components > MOST_COMPONENTS:
        return False
    try:
        return _agrees(place, n_components)
    # A compiler that is missing or fails says so in one of these ways.
    except (RuntimeError, OSError, subprocess.SubprocessError, triton.TritonError):
        return False


def _agrees(place: Any, n: int) -> bool:
    """Compare one update, and two of the activations alone, with double precision."""
    source = torch.Generator().manual_seed(0)
    V, W, H = (
        torch.rand(shape, generator=source).to(place) for shape in ((130, 70), (n, 70), (130, n))
    )
    data = spacious(130, 70, place)
    data.copy_(V)
    passes = Passes(data, n, torch.ones(n, dtype=torch.bool, device=place))
    sums = W.sum(dim=1)
    found, twice = H.clone(), H.clone()
    value, over = passes.update(W, found, sums, moving=True, gather=True, divergence=True)
    passes.activate(W, twice, sums, 2)
    V, W, H = V.double(), W.double(), H.double()
    first = H * ((V / (H @ W)) @ W.T / W.sum(dim=1))
    second = first * ((V / (first @ W)) @ W.T / W.sum(dim=1))
    wanted = torch.xlogy(V, V / (H @ W)).sum() - V.sum(), first.T @ (V / (first @ W))
    return all(
        torch.allclose(a.double(), b, rtol=1e-4)
        for a, b in ((found, first), (twice, second), (value, wanted[0]), (over, wanted[1]))
    )
