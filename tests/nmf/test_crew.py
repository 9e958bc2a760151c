"""Calls that lie ready, and threads that make them: the same bits, nobody waited for, none left."""

import gc
import threading
import time

import numpy as np
import pytest

from audionmf.nmf import calls as calling
from audionmf.nmf import crew, ready
from audionmf.nmf.calls import calls
from audionmf.nmf.crew import Crew
from audionmf.nmf.kernels import KLKernel
from audionmf.nmf.ready import Call
from audionmf.spectra.machine_code import made

FAILS = """
define i32 @fails(i64* %results, i64* %errors) {
  ret i32 1
}
"""
needs_code = pytest.mark.skipif(calls() is None, reason="this machine calls kernels the slow way")


def problem(n_frames=400, dtype=np.float32):
    rng = np.random.default_rng(0)
    V = np.asfortranarray(rng.random((70, n_frames)).astype(dtype))
    return V, rng.random((5, 70)).astype(dtype), rng.random((n_frames, 5)).astype(dtype)


def kernel_of(V, n_threads):
    return KLKernel(V, 5, n_threads, np.ones(5, bool), np.ones(5, bool))


def iterated(n_threads, n_iter=3, between=lambda kernel: None, dtype=np.float32):
    """Return what iterations with momentum of all kinds give, as bytes."""
    V, W, H = problem(dtype=dtype)
    before, values = (W * 1.1, H * 0.9), []
    with kernel_of(V, n_threads) as kernel:
        for _ in range(n_iter):
            values.append(kernel.iterate(W, H, divergence=True))
            between(kernel)
            for x, previous in zip((W, H), before, strict=True):
                kernel.extrapolate(x, previous, 0.3)
        kernel.iterate(W, H, templates=False)
        kernel.activate(W, H, 2)
        values.append(kernel.template_sums(W, H.copy()).sum())
    return values, W.tobytes(), H.tobytes()


@pytest.fixture(autouse=True, scope="module")
def code_is_kept():
    """Have all kernels compiled and kept: a first call is the compiler's."""
    for dtype in (np.float32, np.float64):
        iterated(1, dtype=dtype)


@pytest.fixture
def slow(monkeypatch):
    """Call kernels as where no function hands numbers on."""
    for module in (crew, ready):
        monkeypatch.setattr(module, "calls", lambda: None)


@needs_code
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_calls_by_numbers_are_those_of_the_slow_way(dtype, monkeypatch):
    found = [iterated(n, dtype=dtype) for n in (1, 2, 3)]
    for module in (crew, ready):
        monkeypatch.setattr(module, "calls", lambda: None)
    found += [iterated(n, dtype=dtype) for n in (1, 2, 3)]
    assert all(one == found[0] for one in found)


@needs_code
def test_a_call_goes_by_its_block():
    x, previous = np.full(9, 3, np.float32), np.ones(9, np.float32)
    call = Call(ready.kernel("extrapolate_flat", x.dtype), x, previous, 0.0)
    call._kernel = None  # nothing is asked of it any more
    call(0.5)
    assert np.allclose(x, 3 * (3 * 1.5 + 0.5) / (3 * 0.5 + 1.5))
    assert previous.tolist() == [3] * 9


@pytest.mark.parametrize("most", ["MOST_NUMBERS", "MOST_DOUBLES"])
def test_a_call_with_more_numbers_than_a_block_holds_goes_the_slow_way(most, monkeypatch):
    monkeypatch.setattr(ready, most, {"MOST_NUMBERS": 5, "MOST_DOUBLES": 0}[most])
    x, previous = np.full(9, 3, np.float32), np.ones(9, np.float32)
    call = Call(ready.kernel("extrapolate_flat", x.dtype), x, previous, 0.5)
    assert call.place == 0
    call(0.0)
    assert (x.tolist(), previous.tolist()) == ([3] * 9, [3] * 9)


def test_other_arrays_are_told_from_those_before():
    V, W, H = problem()
    with kernel_of(V, 2) as kernel:
        kernel.iterate(W.copy(), H.copy())
        found = W.copy(), H.copy()
        kernel.iterate(*found)
    with kernel_of(V, 1) as kernel:
        kernel.iterate(W, H)
    assert np.array_equal(found[0], W)
    assert np.array_equal(found[1], H)


@needs_code
@pytest.mark.parametrize("threaded", [False, True])
def test_a_kernel_that_fails_says_so(threaded):
    places = made("fails", FAILS.encode(), lambda: FAILS, ["fails"])
    x = np.ones(3, np.float32)
    fails, works = (Call(ready.kernel("extrapolate_flat", x.dtype), x, x.copy(), 0.0) for _ in "12")
    fails.place = places["fails"]
    work = work_until_heard if threaded else Crew.work
    crew_of = Crew(works, [fails]) if threaded else Crew(fails, [])
    with crew_of as both, pytest.raises(RuntimeError, match="failed"):
        work(both)


def work_until_heard(both):
    """Work again and again: the other thread may come too late the first times."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        both.work()


def await_state(both, state):
    """Look until the other thread is in a state."""
    until = time.monotonic() + 20
    while both._gate._lines[1, 0] != state:
        assert time.monotonic() < until
    return both


@needs_code
def test_threads_that_fell_asleep_are_woken():
    asleep = []

    def between(kernel):
        assert kernel._crew._gate._lines[0, 0] == 0  # closed: who is late does not come in
        asleep.append(await_state(kernel._crew, 2))

    assert iterated(2, between=between) == iterated(1)
    assert len(asleep) == 3


@needs_code
def test_a_thousand_openings_of_the_gate_lose_nothing():
    assert iterated(4, n_iter=1000) == iterated(1, n_iter=1000)


@needs_code
def test_a_thread_that_is_late_at_the_gate_is_not_waited_for(monkeypatch):
    go_on, serve = threading.Event(), crew._serve
    monkeypatch.setattr(crew, "_serve", lambda *arguments: go_on.wait(20) and serve(*arguments))
    V, W, H = problem()
    with kernel_of(V, 2) as kernel:
        kernel.iterate(W, H)
        assert not go_on.is_set()
        go_on.set()
    assert np.array_equal(H, first_of(V)[1])


def test_a_thread_of_the_pool_that_is_late_is_not_waited_for(slow):
    go_on = threading.Event()
    V, W, H = problem()
    with kernel_of(V, 2) as kernel:
        kernel.iterate(W.copy(), H.copy())
        busy = kernel._crew._pool.submit(go_on.wait, 20)
        kernel.iterate(W, H)
        assert not busy.done()
        go_on.set()
    assert np.array_equal(H, first_of(V)[1])


def first_of(V):
    """Return W and H after one iteration in one thread."""
    _, W, H = problem(V.shape[1])
    with kernel_of(V, 1) as kernel:
        kernel.iterate(W, H)
    return W, H


def test_threads_go_when_the_work_is_done():
    before = set(threading.enumerate())
    V, W, H = problem()
    with kernel_of(V, 3) as kernel:
        kernel.iterate(W, H)
        helping = set(threading.enumerate()) - before
        assert len(helping) in (1, 2)  # a pool of two begins with as many as it needs
        if kernel._crew._gate:
            assert all(thread.daemon for thread in helping)  # a process ends without them
    assert set(threading.enumerate()) == before


def test_a_frozen_program_calls_kernels_the_slow_way(monkeypatch):
    monkeypatch.setattr(calling, "__file__", "nowhere/calls.py")
    assert calling.calls.__wrapped__() is None


def test_where_the_processor_is_not_known_calls_go_the_slow_way(monkeypatch):
    monkeypatch.setattr(calling.platform, "machine", lambda: "riscv64")
    assert calling.calls.__wrapped__() is None


@needs_code
def test_threads_of_a_kernel_that_nobody_closed_go_with_it():
    V, W, H = problem()
    before = set(threading.enumerate())
    kernel = kernel_of(V, 2)
    kernel.iterate(W, H)
    (helping,) = set(threading.enumerate()) - before
    del kernel
    gc.collect()
    helping.join(20)
    assert not helping.is_alive()


@needs_code
def test_the_longest_call_fits_into_a_block():
    V, W, H = problem()
    with kernel_of(V, 1) as kernel:
        kernel.iterate(W, H)
        assert kernel._crew._own.place
