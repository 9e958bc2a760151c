"""Non-negative matrix factorisation on plain arrays: V ≈ WH. It knows neither audio nor files.

`KLNMF` needs scikit-learn, which is loaded when the name is first used.

A file imports only from those that are named before it:

- `checks`: what every model here asks of its input
- `compiled`: machine code that numba keeps on disk
- `divergence`: the β-divergence
- `initialize`: where a factorisation starts
- `shapes`: sizes that machine code is made for
- `intrinsics`: vector instructions for numba
- `passes`: one pass over a matrix as machine code
- `calls`: calls of machine code by a block of numbers
- `ready`: machine code that is kept, run without its compiler
- `crew`: threads that make the same calls side by side
- `kernels`: the Kullback–Leibler update by such passes, its buffers and threads
- `ahead`: the largest kernel compiled by a process of its own
- `fused`: the same passes as kernels for a graphics card
- `card`: the update for any β on a graphics card
- `places`: what an iteration offers, by machine code or on a card
- `updates`: the multiplicative updates, the plain one and the fast ones
- `loop`: the loop of every factorisation: momentum, when to stop, whom to tell
- `penalised`: activations drawn to be sparse, smooth or exclusive
- `coarse`: sums of frames and of rows, and back
- `swaps`: components that hardly help, put where more is left
- `newton`: steps of Newton's method for activations
- `activating`: `activate`
- `solver`: `fit`
- `models`: what one source may be in a sum: a term that can move itself, and spectra of any kind
- `patterned`: patterns of several frames as a term
- `voice`: a source with a pitch through a filter as a term
- `sums`: one factorisation for whatever is known of each source
- `equalise`: known templates and one smooth equaliser a source
- `drawn`: known templates that may move, drawn to where they were
- `choose`: how many components a matrix needs
- `constrained`: hints in the time-frequency plane
- `convolutive`: components that are patterns of several frames
- `shifted`: templates that move along a logarithmic axis
- `diagonal`: activations that run along diagonals, for mosaics
- `distributed`: templates from frames on several machines
- `minibatch`: templates from data that does not fit in memory
- `rank_one`: templates of several channels as gains times spectra
- `tensor`: several channels share templates and activations
- `estimator`: `KLNMF` for scikit-learn
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from audionmf.nmf.divergence import beta_divergence
from audionmf.nmf.initialize import initialize
from audionmf.nmf.penalised import Penalties
from audionmf.nmf.solver import NMF, State, fit

if TYPE_CHECKING:
    from audionmf.nmf.activating import activate
    from audionmf.nmf.distributed import fit_shards
    from audionmf.nmf.estimator import KLNMF
    from audionmf.nmf.minibatch import StreamState, fit_stream
    from audionmf.nmf.models import SourceModel, Spectra
    from audionmf.nmf.patterned import Patterned
    from audionmf.nmf.shifted import ShiftedNMF, fit_shifted
    from audionmf.nmf.sums import fit_sum
    from audionmf.nmf.tensor import NTF, fit_channels
    from audionmf.nmf.voice import Voice

_HOME = {
    "KLNMF": "estimator",
    "NTF": "tensor",
    "Patterned": "patterned",
    "ShiftedNMF": "shifted",
    "SourceModel": "models",
    "Spectra": "models",
    "StreamState": "minibatch",
    "Voice": "voice",
    "activate": "activating",
    "fit_channels": "tensor",
    "fit_shards": "distributed",
    "fit_shifted": "shifted",
    "fit_stream": "minibatch",
    "fit_sum": "sums",
}
"""What is loaded when it is first used: one separation needs few of them."""

__all__ = [
    "KLNMF",
    "NMF",
    "NTF",
    "Patterned",
    "Penalties",
    "ShiftedNMF",
    "SourceModel",
    "Spectra",
    "State",
    "StreamState",
    "Voice",
    "activate",
    "beta_divergence",
    "fit",
    "fit_channels",
    "fit_shards",
    "fit_shifted",
    "fit_stream",
    "fit_sum",
    "initialize",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"audionmf.nmf.{_HOME[name]}"), name)
    raise AttributeError(f"module 'audionmf.nmf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
