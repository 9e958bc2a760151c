"""Arithmetic in one pass: to the bit what NumPy makes of the same function."""

import threading

import numpy as np
import pytest

from audionmf.spectra import fused
from audionmf.spectra.fused import (
    FramePass,
    exponential,
    length,
    logarithm,
    maximum,
    minimum,
    root,
    where_zero,
)


def everything(z, x, row):
    """Use all that may be used, on all kinds of arrays."""
    (real, imaginary), share = z, where_zero(x, 0.25, x)
    level = 2.0 / (1.0 + row) - 0.5
    power = maximum(real * real + imaginary * imaginary, 1e-3) / maximum(share, row)
    moved = root(power) * exponential(10.0 * real)
    told = logarithm(power) * real
    return [
        (real * share - imaginary * row, 1.0 - imaginary),
        moved * level,
        power,
        level,
        told,
        share,
    ]


def frames(n_frames, n_bins, seed=0):
    rng = np.random.default_rng(seed)
    z = (rng.standard_normal((n_frames, n_bins, 2)) @ [1, 1j]).astype(np.complex64)
    x = rng.random((n_frames, n_bins), np.float32)
    x[x < 0.3] = 0
    return [z, x, rng.random(n_bins, np.float32)]


def results(n_frames, n_bins):
    kinds = [((n_frames, n_bins), np.complex64), ((n_frames, n_bins), np.float32)]
    sums = [np.zeros(n) for n in (n_bins, n_bins, n_frames, n_frames)]
    return [np.zeros(shape, kind) for shape, kind in kinds] + sums


def in_numpy(given, n_frames, n_bins):
    one, found = FramePass(everything, "cfr", "cfsstt"), results(n_frames, n_bins)
    one._run = fused._nothing  # as where there is no compiler
    one(given, found)
    return found


@pytest.mark.parametrize("n_frames", [1, 2, 17])
@pytest.mark.parametrize("n_bins", [1, 15, 16, 17, 1023, 1024, 1025, 40000])
def test_it_is_what_numpy_makes_of_it_to_the_bit(n_frames, n_bins):
    given = frames(n_frames, n_bins)
    found = results(n_frames, n_bins)
    FramePass(everything, "cfr", "cfsstt")(given, found)
    for ours, theirs in zip(found, in_numpy(given, n_frames, n_bins), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    wanted = everything((given[0].real, given[0].imag), *given[1:])
    (real, imaginary), moved, _, level, told, share = wanted
    np.testing.assert_array_equal(found[0], real + 1j * imaginary)
    np.testing.assert_array_equal(found[1], moved)
    np.testing.assert_allclose(found[3], n_frames * level.astype(np.float64), rtol=1e-5)
    assert found[4] == pytest.approx(told.sum(axis=1, dtype=np.float64), rel=1e-4, abs=1e-3)
    assert found[5] == pytest.approx(share.sum(axis=1, dtype=np.float64), rel=1e-5)


def test_this_machine_has_code_for_it():
    one = FramePass(everything, "cfr", "cfsstt")
    one(frames(3, 50), results(3, 50))
    assert one._lanes in (4, 8, 16)


def test_rows_of_any_distance_and_sums_that_go_on():
    given, found = frames(9, 100), results(9, 100)
    one = FramePass(everything, "cfr", "cfsstt")
    one(given, found)
    apart = [a.repeat(3, axis=0)[::3] if a.ndim == 2 else a for a in given]
    again = [*results(9, 100)[:2], *(total.copy() for total in found[2:])]
    one(apart, again)
    np.testing.assert_array_equal(again[0], found[0])
    for more, once in zip(again[2:], found[2:], strict=True):
        np.testing.assert_array_equal(more, 2 * once)


def test_bins_that_are_no_neighbours_are_left_to_numpy():
    given, found, plain = frames(9, 100), results(9, 100), results(9, 100)
    one = FramePass(everything, "cfr", "cfsstt")
    one([np.asfortranarray(a) for a in given], found)
    one(given, plain)
    for ours, theirs in zip(found, plain, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_arrays_that_are_read_stay():
    given = frames(5, 70)
    before = [a.copy() for a in given]
    FramePass(everything, "cfr", "cfsstt")(given, results(5, 70))
    for ours, theirs in zip(given, before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_threads_may_share_one():
    one, wanted = FramePass(everything, "cfr", "cfsstt"), in_numpy(frames(40, 333), 40, 333)
    found = [results(40, 333) for _ in range(8)]
    threads = [threading.Thread(target=one, args=(frames(40, 333), each)) for each in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in found:
        for ours, theirs in zip(each, wanted, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_exponentials_are_those_of_numpy_but_for_the_last_bits():
    x = np.linspace(-87, 87, 200001, dtype=np.float32).reshape(3, -1)
    found = np.empty_like(x)
    FramePass(lambda a: [exponential(a)], "f", "f")([x], [found])
    np.testing.assert_allclose(found, np.exp(x.astype(np.float64)), rtol=2.5e-7)
    np.testing.assert_array_equal(found, exponential(x))
    assert exponential(np.zeros(1, np.float32)) == 1


def test_logarithms_are_those_of_numpy_but_for_the_last_bits():
    x = 10 ** np.random.default_rng(0).uniform(-37.5, 38, (3, 40000)).astype(np.float32)
    x[0, :3] = 1, np.float32(0.5) ** 0.5, np.float32(2) ** 0.5
    found = np.empty_like(x)
    FramePass(lambda a: [logarithm(a)], "f", "f")([x], [found])
    np.testing.assert_allclose(found, np.log(x.astype(np.float64)), rtol=2.5e-7)
    np.testing.assert_array_equal(found, logarithm(x))
    assert found[0, 0] == 0


def test_the_lesser_and_the_greater_of_two_numbers():
    a, b = np.random.default_rng(0).random((2, 3, 40), np.float32)
    low, high = np.empty_like(a), np.empty_like(a)
    FramePass(lambda x, y: [minimum(x, y), maximum(x, y)], "ff", "ff")([a, b], [low, high])
    np.testing.assert_array_equal(low, np.minimum(a, b))
    np.testing.assert_array_equal(high, np.maximum(a, b))
    np.testing.assert_array_equal(minimum(a, b), low)


def test_lengths_are_those_of_numpy_beyond_the_range_of_squares():
    a, b = 10 ** np.random.default_rng(0).uniform(-30, 30, (2, 3, 400)).astype(np.float32)
    a[0, :9] = 0
    found = np.empty_like(a)
    FramePass(lambda x, y: [length(x, y)], "ff", "f")([a, b], [found])
    np.testing.assert_allclose(found, np.hypot(a, b), rtol=1.2e-7)
    np.testing.assert_array_equal(found, length(a, b))
