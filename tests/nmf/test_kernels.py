import os
import platform
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core import caching
from sklearn.decomposition import non_negative_factorization
from sklearn.exceptions import ConvergenceWarning

from audionmf.io import private
from audionmf.nmf import activate, beta_divergence, fit, intrinsics, kernels, passes, shapes
from audionmf.nmf import compiled as compiling
from audionmf.nmf.kernels import KLKernel, _edges, extrapolate
from audionmf.nmf.passes import TILE
from audionmf.nmf.updates import BlockUpdater, plain_update

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}
# Bins, frames, components: around the sizes of tiles, panels and vectors, and odd ones.
SIZES = [
    (1, 1, 1),
    (1, 70, 3),
    (70, 1, 3),
    (5, 9, 200),
    (7, 13, 8),
    (16, 64, 4),
    (17, 65, 5),
    (31, 63, 33),
    (96, 128, 16),
    (97, 129, 17),
    (193, 200, 40),
    (300, 31, 9),
    (12, 1100, 6),
]


def positive(*shape, seed=0, dtype=np.float64):
    return (np.random.default_rng(seed).random(shape) + 0.05).astype(dtype)


def problem(n_bins, n_frames, n_components, dtype=np.float64):
    """Return V, W and H as equations have them, with zeros in V."""
    V = positive(n_bins, n_frames, dtype=dtype)
    V[1:, 1:][V[1:, 1:] < 0.15] = 0  # but no row and no frame of nothing else
    W = positive(n_bins, n_components, seed=1, dtype=dtype)
    return V, W, positive(n_components, n_frames, seed=2, dtype=dtype)


def kernel_of(V, n_components, n_threads=1, free_W=True, free_H=True, penalties=None):
    masks = (np.broadcast_to(free, n_components) for free in (free_W, free_H))
    return KLKernel(V, n_components, n_threads, *masks, penalties)


def iterated(V, W, H, n_iter=1, n_threads=1, **options):
    """Return W and H after some iterations of the kernel, and the divergence before the last."""
    rows, columns = W.T.copy(), H.T.copy()
    value = float("nan")
    masks = {name: options.pop(name) for name in ("free_W", "free_H") if name in options}
    penalties = options.pop("penalties", None)
    with kernel_of(V, W.shape[1], n_threads, penalties=penalties, **masks) as kernel:
        for _ in range(n_iter):
            value = kernel.iterate(rows, columns, **options)
    return rows.T, columns.T, value


def assert_close(found, expected, dtype):
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, atol=TOLERANCE[dtype] * np.abs(expected).max())


# One iteration


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_iteration_is_the_plain_update_of_both_sides(size, dtype):
    V, W, H = problem(*size, dtype)
    found_W, found_H, value = iterated(V, W, H, divergence=True)
    data, start_W, start_H = (x.astype(np.float64) for x in (V, W, H))
    new_H = plain_update(data, start_W, start_H, 1)
    new_W = plain_update(data.T, new_H.T, start_W.T, 1).T
    assert_close(found_H, new_H, dtype)
    assert_close(found_W, new_W, dtype)
    expected = beta_divergence(data, start_W @ start_H)
    assert value == pytest.approx(expected, abs=TOLERANCE[dtype] * data.sum())


@given(
    n_bins=st.integers(1, 120),
    n_frames=st.integers(1, 150),
    n_components=st.integers(1, 60),
    dtype=st.sampled_from(DTYPES),
)
@settings(deadline=None, derandomize=True, max_examples=30)
def test_an_iteration_of_any_size_is_the_plain_update(n_bins, n_frames, n_components, dtype):
    test_an_iteration_is_the_plain_update_of_both_sides((n_bins, n_frames, n_components), dtype)


@pytest.mark.parametrize("size", [(17, 65, 5), (5, 9, 12), (40, 70, 1)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_iterations_are_those_of_scikit_learn(size, dtype):
    V, W, H = problem(*size, dtype)
    found_W, found_H, _ = iterated(V, W, H, n_iter=20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        first, second, _ = non_negative_factorization(
            np.ascontiguousarray(V.T, np.float64),
            np.ascontiguousarray(H.T, np.float64),
            np.ascontiguousarray(W.T, np.float64),
            n_components=W.shape[1],
            init="custom",
            solver="mu",
            beta_loss=1,
            tol=0,
            max_iter=20,
        )
    expected = (first @ second).T
    tolerance = max(1e-6, 2 * TOLERANCE[dtype])  # scikit-learn's floor of a model is 1.2e-7
    np.testing.assert_allclose(found_W @ found_H, expected, atol=tolerance * expected.max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(17, 65, 5), (96, 128, 16), (97, 1200, 3)])
def test_layout_and_threads_do_not_change_a_bit_and_data_is_only_read(size, dtype):
    V, W, H = problem(*size, dtype)
    n_bins, n_frames, _ = size
    wide = np.full((2 * n_bins, 3 * n_frames), np.nan, dtype)
    wide[::2, ::3] = V
    tall = np.full((3 * n_frames, n_bins + 5), np.nan, dtype).T
    tall[:n_bins, ::3] = V
    layouts = [
        V,
        np.asfortranarray(V),
        wide[::2, ::3],
        tall[:n_bins, ::3],
        V[::-1].copy()[::-1],
        np.asfortranarray(V[:, ::-1])[:, ::-1],
    ]
    expected = iterated(np.asfortranarray(V), W, H, n_iter=3, divergence=True)
    for data in layouts:
        data.flags.writeable = False
        for n_threads in (1, 2, 5):
            found = iterated(data, W, H, n_iter=3, n_threads=n_threads, divergence=True)
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_array_equal(found[1], expected[1])
            assert found[2] == expected[2]
        np.testing.assert_array_equal(data, V)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1])
def test_data_that_repeats_one_row_or_frame_in_memory_will_do(axis, dtype):
    V, W, H = problem(17, 65, 5, dtype)
    repeated = np.broadcast_to(V[:1] if axis == 0 else V[:, :1], V.shape)
    expected = iterated(repeated.copy(), W, H, n_iter=3)
    found = iterated(repeated, W, H, n_iter=3)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_alone_leave_the_templates(dtype):
    V, W, H = problem(17, 65, 5, dtype)
    found_W, found_H, _ = iterated(V, W, H, templates=False)
    np.testing.assert_array_equal(found_W, W)
    np.testing.assert_array_equal(found_H, iterated(V, W, H)[1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_components_that_are_fixed_keep_every_bit(dtype):
    V, W, H = problem(17, 65, 5, dtype)
    W[3, 1] = H[2, 4] = 0
    free_W, free_H = np.array([1, 0, 1, 0, 1], bool), np.array([0, 1, 0, 0, 1], bool)
    found_W, found_H, _ = iterated(V, W, H, n_iter=7, free_W=free_W, free_H=free_H)
    np.testing.assert_array_equal(found_W[:, ~free_W], W[:, ~free_W])
    np.testing.assert_array_equal(found_H[~free_H], H[~free_H])
    assert (found_W[:, free_W] != W[:, free_W]).any(axis=0).all()
    assert (found_H[free_H] != H[free_H]).any(axis=1).all()
    one_W, one_H, _ = iterated(V, W, H, free_W=free_W, free_H=free_H)
    exact = [x.astype(np.float64) for x in (V, W, H)]
    new_H = np.where(free_H[:, None], plain_update(*exact, 1), H)
    new_W = np.where(free_W, plain_update(exact[0].T, new_H.T, exact[1].T, 1).T, W)
    assert_close(one_H, new_H, dtype)
    assert_close(one_W, new_W, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_penalty_is_added_to_the_sum_of_a_template(dtype):
    V, W, H = problem(17, 65, 5, dtype)
    penalties = np.array([0, 0.5, 3, 0, 100])
    _, found, _ = iterated(V, W, H, penalties=penalties)
    ratios = W.astype(np.float64).T @ (V / (W.astype(np.float64) @ H))
    assert_close(found, H * ratios / (W.sum(axis=0) + penalties)[:, None], dtype)
    _, none, _ = iterated(V, W, H, penalties=np.zeros(5))
    np.testing.assert_array_equal(none, iterated(V, W, H)[1])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_sums_are_those_of_an_update_of_the_templates(size, dtype):
    V, W, H = problem(*size, dtype)
    rows, columns = W.T.copy(), H.T.copy()
    with kernel_of(V, W.shape[1]) as kernel:
        over, sums = kernel.sums(rows, columns)
    np.testing.assert_array_equal(rows, W.T)
    np.testing.assert_array_equal(columns.T, iterated(V, W, H)[1])
    new = columns.T.astype(np.float64)
    expected = (V / (W.astype(np.float64) @ new)) @ new.T
    assert over.shape == (W.shape[1], len(V))
    np.testing.assert_allclose(over.T, expected, atol=TOLERANCE[dtype] * expected.max())
    np.testing.assert_allclose(sums, new.sum(axis=1), rtol=TOLERANCE[dtype])
    with kernel_of(V, W.shape[1]) as kernel:
        assert kernel.sums(rows, columns, gather=False) == (None, None)


# Every frame on its own


@given(
    n_bins=st.integers(1, 70),
    n_frames=st.integers(1, 300),
    n_components=st.integers(1, 40),
    cuts=st.lists(st.integers(0, 300), max_size=4),
    n_threads=st.integers(1, 4),
    dtype=st.sampled_from(DTYPES),
    order=st.sampled_from("CF"),
    penalised=st.booleans(),
)
@settings(deadline=None, derandomize=True, max_examples=25)
def test_any_split_of_the_frames_has_the_bits_of_the_whole(
    n_bins, n_frames, n_components, cuts, n_threads, dtype, order, penalised
):
    V, W, _ = problem(n_bins, n_frames, n_components, dtype)
    V *= np.ldexp(dtype(1), np.arange(n_frames) % 7 - 3).astype(dtype)
    options = {"penalties": np.arange(n_components) / 10 if penalised else None, "n_iter": 8}
    whole = activate(V, W, n_threads=1, **options)
    parts = [
        activate(np.asarray(part, order=order), W, n_threads=n_threads, **options)
        for part in np.split(V, sorted(cuts), axis=1)
        if part.shape[1]
    ]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_place_of_a_frame_and_its_neighbours_do_not_change_a_bit(dtype):
    V, W, _ = problem(33, 2 * TILE + 7, 6, dtype)
    whole = activate(V, W)
    order = np.random.default_rng(0).permutation(V.shape[1])
    np.testing.assert_array_equal(activate(V[:, order], W), whole[:, order])
    alone = [activate(V[:, t : t + 1], W)[:, 0] for t in range(V.shape[1])]
    np.testing.assert_array_equal(np.stack(alone, axis=1), whole)
    louder = V.copy()
    louder[:, ::2] *= 1000
    np.testing.assert_array_equal(activate(louder, W)[:, 1::2], whole[:, 1::2])


# Zeros, denormal numbers, and what decays


@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_and_denormal_numbers_stay_finite(dtype):
    V, W, H = problem(33, 140, 6, dtype)
    tiny = np.finfo(dtype).smallest_subnormal
    V[:, 3], V[4], V[:, 7], V[9, 5:9] = 0, 0, tiny, 5 * tiny
    W[:, 1], W[6], W[5, 2] = 0, 0, tiny
    H[3], H[:, 20:23], H[4, 30:60] = 0, 0, tiny
    found_W, found_H, value = iterated(V, W, H, n_iter=50, divergence=True)
    for factor in (found_W, found_H):
        assert np.isfinite(factor).all()
        assert (factor >= 0).all()
        assert not ((factor > 0) & (factor < 1e-30)).any()
    assert np.isfinite(value)
    assert not found_W[6].any()
    assert not found_H[:, 3].any()
    assert not found_H[3].any()
    found = activate(V, W)
    assert np.isfinite(found).all()
    assert not found[:, 3].any()


@pytest.mark.parametrize("n_components", [1, 3, 8, 11, 24])
def test_what_lies_beyond_the_last_bin_is_not_counted(n_components):
    V, W, H = problem(17, 2 * TILE, n_components, np.float32)
    V *= np.float32(1e12)  # next to the last bin lies the next frame: over no model, it is infinite
    found_W, found_H, _ = iterated(np.asfortranarray(V), W, H)
    assert np.isfinite(found_W).all()
    assert_close(found_H, plain_update(*(x.astype(np.float64) for x in (V, W, H)), 1), np.float32)


@pytest.mark.parametrize("dtype", DTYPES)
def test_silence_gives_silence(dtype):
    _, W, H = problem(33, 140, 6, dtype)
    found_W, found_H, _ = iterated(np.zeros((33, 140), dtype), W, H, n_iter=2)
    assert not found_H.any()
    assert not found_W.any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_divergence_of_data_from_itself_is_zero(dtype):
    _, W, H = problem(33, 140, 6, dtype)
    V = (W.astype(np.float64) @ H).astype(dtype)
    _, _, value = iterated(V, W, H, divergence=True)
    assert abs(value) <= 4 * np.finfo(dtype).eps * V.sum()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ratio", [1e-25, 1e-6, 0.5, 2, 1e6, 1e20])
def test_the_divergence_is_exact_for_data_far_from_the_model(ratio, dtype):
    V, W, H = problem(33, 140, 6, dtype)
    W *= dtype(1 / ratio)
    _, _, value = iterated(V, W, H, divergence=True)
    expected = beta_divergence(V, W.astype(np.float64) @ H)
    assert value == pytest.approx(expected, rel=1e-5 if dtype == np.float32 else 1e-12)


def test_near_the_model_the_divergence_is_not_lost_in_rounding():
    """It is a small difference of large sums there; runs stop by it, and momentum restarts."""
    rng = np.random.default_rng(0)
    W = positive(40, 4, dtype=np.float32)
    H = np.repeat(np.float32([[0.1], [0.7], [1.3], [1.9]]), 6400, axis=1)  # all are rounded alike
    V = np.asfortranarray(W @ H * (1 + 0.01 * rng.standard_normal((40, 6400))), np.float32)
    _, _, value = iterated(V, W, H, divergence=True)
    exact = beta_divergence(*(x.astype(np.float64) for x in (V, W.astype(np.float64) @ H)))
    assert value == pytest.approx(exact, abs=2e-8 * V.sum(dtype=np.float64))


def test_machine_code_and_numpy_blocks_do_the_same():
    V, W, H = problem(33, 300, 6)
    free = np.ones(6, bool)
    rows, columns = W.T.copy(), H.T.copy()
    with BlockUpdater(V, 1.0, 1, free, free) as updater:
        value = updater.iterate(rows, columns, divergence=True)
    found_W, found_H, found = iterated(V, W, H, divergence=True)
    np.testing.assert_allclose(rows.T, found_W, rtol=1e-10)
    np.testing.assert_allclose(columns.T, found_H, rtol=1e-10)
    assert value == pytest.approx(found, rel=1e-10)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("b", [0.0, 0.3, 0.9])
def test_extrapolation_carries_on_by_the_pade_form_of_a_power(b, dtype):
    new, old = positive(5, 7, dtype=dtype), positive(5, 7, seed=1, dtype=dtype)
    new[0, 0] = old[1, 1] = 0
    x, previous = new.copy(), old.copy()
    extrapolate(x, previous, b)
    np.testing.assert_array_equal(previous, new)
    r = new.astype(np.float64) / np.where(old > 0, old, 1)
    expected = new * ((1 + b) * r + 1 - b) / ((1 - b) * r + 1 + b)
    expected[1, 1] = new[1, 1]
    assert_close(x, expected, dtype)
    assert x[0, 0] == 0
    near = new * dtype(1.01)
    extrapolate(near, new.copy(), b)
    np.testing.assert_allclose(near, new * 1.01 ** (1 + b), rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_ratios_are_quotients_to_the_last_bit_or_the_one_before(dtype):
    rng = np.random.default_rng(0)
    V = np.exp(rng.uniform(-30, 30, (3000, 1))).astype(dtype)
    V[::7] = 0
    W = np.exp(rng.uniform(-30, 30, (1, 3000))).astype(dtype)
    with kernel_of(V, 1) as kernel:
        found = kernel.template_sums(W, np.ones((1, 1), dtype))
    assert not found[0, ::7].any()
    np.testing.assert_array_max_ulp(found[0], V[:, 0] / W[0], 1)


# The compiler


WORK = """
import numpy as np
from audionmf.nmf.kernels import KLKernel

results, free = [], np.ones(19, bool)
for n_bins, order in ((5, "C"), (97, "C"), (97, "F"), (203, "F")):
    rng = np.random.default_rng(n_bins)
    V = np.asarray(rng.random((n_bins, 150)).astype(np.float32), order=order)
    W, H = (rng.random(shape).astype(np.float32) + 0.05 for shape in ((19, n_bins), (150, 19)))
    with KLKernel(V, 19, 1, free, free) as kernel:
        value = kernel.iterate(W, H, divergence=True)
        over, sums = kernel.sums(W, H)
        kernel.activate(W, H, 5)
    results += [W, H, over, sums, np.array(value)]
"""
NARROW = """
import sys
import llvmlite.binding
from audionmf.io import kept

hidden, path = sys.argv[1].split(","), sys.argv[2]
host_features = llvmlite.binding.get_host_cpu_features


def fewer_features():
    features = host_features()
    for name in features:
        features[name] &= not name.startswith(tuple(hidden))
    return features


llvmlite.binding.get_host_cpu_features = fewer_features
kept.registers = lambda: None
{work}
from audionmf.nmf.intrinsics import BITS

np.savez(path, np.array(BITS), *results)
"""
HIDDEN = {128: "avx,fma,f16c,vaes,vpclmul", 256: "avx512,avx10"}


def test_vectors_of_any_width_give_the_same(tmp_path):
    narrower = {bits: hidden for bits, hidden in HIDDEN.items() if bits < intrinsics.BITS}
    children = {
        bits: subprocess.Popen(
            [
                sys.executable,
                "-B",
                "-c",
                NARROW.format(work=WORK),
                hidden,
                tmp_path / f"{bits}.npz",
            ],
            # Machine code for another width must not stay where this machine would find it; what it
            # computes is the same however well it is optimised, which takes most of the time.
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / hidden), "NUMBA_OPT": "0"},
            stderr=subprocess.PIPE,
        )
        for bits, hidden in narrower.items()
    }
    here: dict[str, object] = {}
    exec(WORK, here)  # noqa: S102
    for bits, process in children.items():
        _, message = process.communicate(timeout=300)
        assert process.returncode == 0, message.decode()
        with np.load(tmp_path / f"{bits}.npz") as file:
            width, *found = (file[name] for name in file.files)
        assert width == bits
        for array, expected in zip(found, here["results"], strict=True):
            np.testing.assert_allclose(array, expected, atol=1e-6 * expected.max(), rtol=1e-6)


def test_without_a_folder_for_the_cache_it_is_compiled_each_time(monkeypatch):
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    monkeypatch.setattr(passes, "private_folder", lambda: None)
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(plain_sum)
    compiled = passes._compiled(nogil=True)(plain_sum)
    assert compiled(np.arange(5.0)) == 10
    assert compiled.stats.cache_path is None


def test_without_a_home_machine_code_is_kept_in_a_private_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    monkeypatch.setattr(private.tempfile, "gettempdir", lambda: str(tmp_path))
    for hits in (0, 1):
        compiled = passes._compiled()(plain_sum)
        assert compiled(np.arange(5.0)) == 10
        assert sum(compiled.stats.cache_hits.values()) == hits
        assert Path(compiled.stats.cache_path).is_relative_to(tmp_path)


def test_what_lies_beside_the_package_is_read_by_users_who_may_not_write_there(
    code_folder, tmp_path, monkeypatch
):
    passes._compiled()(plain_sum)(np.arange(5.0))
    beside = tmp_path / "package" / "__pycache__"
    next(code_folder.iterdir()).rename(beside.parent)
    beside.parent.rename(tmp_path / "code")
    beside.parent.mkdir()
    (tmp_path / "code").rename(beside)
    for place, hits in (("elsewhere", 0), ("package", 1)):
        monkeypatch.setattr(passes, "__file__", str(tmp_path / place / "passes.py"))
        compiled = passes._compiled()(plain_sum)
        compiled._cache.save_overload = lambda *_: None
        assert compiled(np.arange(5.0)) == 10
        assert sum(compiled.stats.cache_hits.values()) == hits


def test_compiling_is_logged_with_its_seconds_where_nobody_listens(
    code_folder, monkeypatch, caplog
):
    clock = compiling._Clock()
    monkeypatch.setattr(compiling, "_clock", clock)
    monkeypatch.setattr(compiling, "_listeners", [])
    monkeypatch.setattr(compiling, "_WORTH_SAYING", 0.001)
    inner = passes._compiled()(plain_sum)
    outer = passes._compiled()(lambda x: inner(x) + 1)  # two kernels, and one compiles the other
    assert outer(np.arange(5.0)) == 11
    begun, ended = (record.getMessage() for record in caplog.records)
    assert begun.startswith("audionmf compiles its kernels")
    assert re.fullmatch(r"audionmf has compiled kernels in \d+ s", ended)
    assert passes._compiled()(plain_sum)(np.arange(5.0)) == 10  # found again, and nothing is said
    assert len(caplog.records) == 2
    assert clock.n_kernels == 3


def test_momentum_of_activations_begins_again_where_a_step_goes_uphill():
    V, W, H = problem(40, 130, 4)
    n_iter, sums = 60, W.sum(axis=0)[:, None]
    at, age, before, n_restarts = H.copy(), np.zeros(130), H, 0
    for i in range(n_iter):
        ratio = W.T @ (V / (W @ at)) / sums
        new = at * ratio
        uphill = ((1 - ratio) * (new - before) * sums).sum(axis=0) > 0
        age = np.where(uphill & (i > 0), 0, age + 1)
        n_restarts += np.count_nonzero(age == 0)
        b = np.maximum((age - 1) / (age + 2), 0) if 0 < i < n_iter - 1 else np.zeros(130)
        at = new * ((1 + b) * new + (1 - b) * before) / ((1 - b) * new + (1 + b) * before)
        at[:, b == 0], before = new[:, b == 0], new
    assert n_restarts > 100
    columns = H.T.copy()
    with kernel_of(V, 4) as kernel:
        kernel.activate(W.T.copy(), columns, n_iter)
    assert np.allclose(columns.T, at, rtol=1e-7)


def test_what_is_denormal_counts_as_0_in_a_pass_and_nowhere_else():
    """Where templates decay their products are denormal, and each of those takes as long as a row."""
    V, W, H = problem(40, 130, 4, np.float32)
    V[7] = 1e-39
    with kernel_of(V, 4, n_threads=2) as kernel:
        over = kernel.template_sums(W.T.copy(), H.T.copy())
        assert np.float32(1e-38) * np.float32(0.1) > 0
    assert (over[:, :7] > 0).all()
    assert (over[:, 7] == 0).all() == (platform.machine() == "x86_64")


def test_a_thread_more_works_only_where_there_is_work_for_it(monkeypatch):
    V, *_ = problem(64, 32 * TILE, 8)
    monkeypatch.setattr(kernels, "_ALONE", V.size * 8 // 2)
    for n_frames, n_threads in ((15 * TILE, 1), (16 * TILE, 2), (32 * TILE, 3)):
        with kernel_of(V[:, :n_frames], 8, n_threads=4) as kernel:
            assert len(kernel._scratch) == n_threads


def test_sums_of_chunks_are_added_in_their_order_whoever_is_done_first():
    V, W, H = problem(40, 90 * TILE, 8, np.float32)
    alone = iterated(V, W, H)
    for _ in range(20):
        found = iterated(V, W, H, n_threads=5)
        assert all(np.array_equal(a, b) for a, b in zip(found[:2], alone[:2], strict=True))


@pytest.mark.parametrize("n_tiles", [1, 2, 19, 20, 21, 40, 81, 650, 100_000])
def test_chunks_hold_every_tile_once_and_the_last_are_small(n_tiles):
    sizes = np.diff(_edges(n_tiles))
    assert sizes.sum() == n_tiles
    assert sizes.min() >= 1
    assert len(sizes) <= 20
    if n_tiles >= 40:
        assert sizes[-1] <= max(1, 0.15 * sizes.max())
        assert sizes.max() <= -(-n_tiles // 16)  # sixteen threads have enough to do


def test_nothing_is_compiled_that_nobody_calls(code_folder):
    part = passes._part()(plain_sum)
    kernel = passes._compiled()(lambda x: part(x) + 1)
    assert kernel(np.arange(5.0)) == 11
    made = [function.inspect_llvm(function.signatures[0]) for function in (part, kernel)]
    assert ["cpython" in code for code in made] == [False, True]
    assert not any("cfunc" in code for code in made)


@pytest.mark.parametrize("part", [intrinsics, shapes], ids=["intrinsics", "sizes"])
def test_machine_code_is_made_anew_when_a_part_of_it_has_changed(
    part, code_folder, tmp_path, monkeypatch
):
    source = tmp_path / "part.py"
    source.write_text("first")
    monkeypatch.setattr(part, "__file__", str(source))
    hits = []
    for text in ("first", "second", "second"):
        if source.read_text() != text:
            source.write_text(text)
        compiled = passes._compiled()(plain_sum)
        assert compiled(np.arange(5.0)) == 10
        hits.append(sum(compiled.stats.cache_hits.values()))
    assert hits == [0, 0, 1]


def plain_sum(x):
    total = 0.0
    for value in x:
        total += value
    return total


def test_a_cache_folder_that_cannot_be_made_is_passed_over(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    code = (
        "import numpy as np; from audionmf import nmf; "
        "print(nmf.fit(np.ones((3, 4)), 1, max_iter=2).activations.sum())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"NUMBA_CACHE_DIR": str(blocked / "below")},
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, float(done.stdout or "nan")) == (0, pytest.approx(12)), done.stderr


def test_code_that_is_kept_is_loaded_without_what_only_compiling_needs():
    program = (
        "import sys, numpy as np; from audionmf import nmf; "
        "found = nmf.fit(np.ones((9, 20), np.float32), 2, seed=0, max_iter=2); "
        "print('numba.np.linalg' in sys.modules, found.divergence[-1])"
    )
    found = fit(np.ones((9, 20), np.float32), 2, seed=0, max_iter=2)  # it is kept from here on
    made = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert made.stdout.split() == ["False", str(found.divergence[-1])], made.stderr
