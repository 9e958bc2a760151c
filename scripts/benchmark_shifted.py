#!/usr/bin/env python3
"""Time shift-invariant NMF beside torchnmf's NMF2D, which `pip install torchnmf` brings.

V is 217 x 400, of 2 templates of 145 bins at 73 shifts; both start from the same templates and levels,
do 50 iterations of the Kullback-Leibler divergence and use one thread. Printed are the seconds and the
divergence that each ends at.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torchnmf.nmf import NMF2D

from audionmf import nmf
from audionmf.nmf.shifted import shifted_model

N_PLACES, N_SHIFTS, N_FRAMES, N_COMPONENTS, N_ITER = 145, 73, 400, 2, 50


def main() -> None:
    """Run both, and print a line for each."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    W = rng.random((N_PLACES, N_COMPONENTS)) ** 4
    shape = (N_COMPONENTS, N_SHIFTS, N_FRAMES)
    H = rng.random(shape) * (rng.random(shape) < 0.02)
    V = (shifted_model(W, H).sum(axis=0) + 1e-4).astype(np.float32)
    start = rng.uniform(0.5, 1.5, W.shape).astype(np.float32)
    began = time.perf_counter()
    own = nmf.fit_shifted(
        V, N_COMPONENTS, N_SHIFTS, templates=start, max_iter=N_ITER, tol=0, n_threads=1
    )
    told("audionmf", time.perf_counter() - began, float(own.divergence[-1]))
    level = np.tile(V.sum(axis=0) / (N_COMPONENTS * N_SHIFTS), (N_COMPONENTS, N_SHIFTS, 1))
    kernels = np.ascontiguousarray((start / start.sum(axis=0)).T[None, :, :, None])
    net = NMF2D(W=torch.tensor(kernels), H=torch.tensor(level[None]))
    began = time.perf_counter()
    net.fit(torch.tensor(V)[None, None], beta=1, max_iter=N_ITER, tol=0)
    seconds = time.perf_counter() - began
    model = net.reconstruct(net.H, net.W).detach().numpy()[0, 0].astype(np.float64)
    told("torchnmf", seconds, float((V * np.log((V + 1e-30) / model) - V + model).sum()))


def told(name: str, seconds: float, divergence: float) -> None:
    """Print a line."""
    print(f"{name}: {seconds:.1f} s, divergence {divergence:.0f}", flush=True)


if __name__ == "__main__":
    main()
