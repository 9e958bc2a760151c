"""How the networks of the package are trained: one loop for all of them. Needs PyTorch."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

__all__ = ["train"]

FIRST_RATE, STEP = 3e-3, 4


def train(
    net: nn.Module,
    loss: Callable[[int], torch.Tensor],
    count: int,
    seconds: float,
    rng: np.random.Generator,
    decay: float = 3e-2,
) -> None:
    """Train for a time, four of `count` mixtures a step; `loss` is told the number of a mixture."""
    optimiser = torch.optim.AdamW(net.parameters(), FIRST_RATE, weight_decay=decay)
    start, shown = time.monotonic(), 0.0
    while (gone := (time.monotonic() - start) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = FIRST_RATE * (0.5 * (1 + np.cos(np.pi * gone)) + 0.01)
        optimiser.zero_grad()
        total = 0.0
        for j in rng.integers(0, count, STEP):
            one = loss(int(j)) / STEP
            one.backward()
            total += one.item()
        nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimiser.step()
        if gone >= shown:
            shown += 0.1
            print(f"{gone:4.0%}  {total:+.3f}", flush=True)
    net.eval()
