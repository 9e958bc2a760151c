"""Templates of several channels brought to gains times spectra: as NumPy does it, to the bit."""

import numpy as np
import pytest

from audionmf.nmf import rank_one
from audionmf.nmf.rank_one import make_rank_one
from audionmf.spectra.machine_code import Processor

SHAPES = [(80, 2, 600), (3, 1, 7), (1, 2, 5), (5, 3, 100), (2, 2, 64), (2, 6, 333), (2, 4, 1025)]


def templates(shape, dtype=np.float32):
    W = np.random.default_rng(0).random(shape) ** 3
    W[-1, 0, : shape[2] // 2] = 0
    return W.astype(dtype)


def in_numpy(W):
    totals = W.sum(axis=(1, 2), keepdims=True)
    return W.sum(axis=2, keepdims=True) / (totals + (totals == 0)) * W.sum(axis=1, keepdims=True)


def by_halves(x):
    """Return a sum in the order in which it is taken."""
    if len(x) < 8:
        return sum(list(x), start=np.float32(-0.0))
    if len(x) <= 128:
        n = len(x) // 8 * 8
        r = x[:8].copy()
        for i in range(8, n, 8):
            r += x[i : i + 8]
        total = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]))
        return sum(x[n:], start=total)
    half = len(x) // 2 // 8 * 8
    return by_halves(x[:half]) + by_halves(x[half:])


@pytest.mark.parametrize("shape", SHAPES)
def test_machine_code_gives_gains_times_spectra(shape):
    W = templates(shape)
    expected = in_numpy(W)
    shares = [[by_halves(row) / by_halves(w.reshape(-1)) for row in w] for w in W]
    spectra = [sum(w[1:], start=w[0]) for w in W]
    make_rank_one(W)
    np.testing.assert_allclose(W, expected, rtol=1e-6)
    assert W.tolist() == (np.array(shares)[:, :, None] * np.array(spectra)[:, None]).tolist()


def test_what_is_so_already_stays_but_for_rounding():
    W = templates((4, 2, 50))
    make_rank_one(W)
    again = W.copy()
    make_rank_one(again)
    np.testing.assert_allclose(again, W, rtol=1e-6)


def test_a_silent_template_stays_silent():
    W = templates((3, 2, 40))
    W[1] = 0
    expected = in_numpy(W)
    make_rank_one(W)
    assert not W[1].any()
    np.testing.assert_allclose(W, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["double", "in another order", "no bins", "no compiler"])
def test_where_there_is_no_machine_code_numpy_does_it(kind, monkeypatch):
    W = templates((3, 2, 40), np.float64 if kind == "double" else np.float32)
    if kind == "in another order":
        W = np.asfortranarray(W)
    if kind == "no bins":
        W = W[:, :, :0]
    if kind == "no compiler":
        monkeypatch.setattr(rank_one, "host", lambda: Processor("", {}))
        rank_one._code.cache_clear()
    expected = in_numpy(W)
    make_rank_one(W)
    assert W.tolist() == expected.tolist()
    rank_one._code.cache_clear()
