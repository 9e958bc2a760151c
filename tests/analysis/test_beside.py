"""Work beside other work: the same results with a thread of its own and without, and an end."""

import threading

import pytest
from threadpoolctl import threadpool_info

from audionmf.analysis.beside import Beside

MAIN = threading.get_ident()


def blas_threads():
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


@pytest.mark.parametrize(
    ("n_threads", "apart", "here", "there"), [(1, True, 1, 1), (2, True, 1, 1), (5, True, 3, 2),
    (4, False, 4, 4)],
)  # fmt: skip
def test_work_is_done_once_in_its_order_and_threads_are_shared_out(n_threads, apart, here, there):
    done = []

    def work(n):
        done.append((n, threading.get_ident()))
        return n

    with Beside(n_threads, apart=apart) as side:
        assert (side.here, side.there) == (here, there)
        assert blas_threads() == {1}
        results = [side.start(lambda n=n: work(n)) for n in range(3)]
        if not side.apart:
            assert not done
        assert [result() for result in results] == [0, 1, 2]
        assert [result() for result in results] == [0, 1, 2]
        assert side.free() == n_threads
    assert [n for n, _ in done] == [0, 1, 2]
    assert all((thread == MAIN) != side.apart for _, thread in done)


def test_threads_are_free_as_soon_as_all_is_done_beside():
    go = threading.Event()
    with Beside(5) as side:
        first, second = side.start(lambda: go.wait(10)), side.start(lambda: 2)
        assert side.free() == side.here == 3
        go.set()
        assert (first(), second()) == (True, 2)
        assert side.free() == 5


@pytest.mark.parametrize("n_threads", [1, 2])
def test_what_goes_wrong_beside_is_raised_where_it_is_asked_for(n_threads):
    def work():
        raise ZeroDivisionError("beside")

    with Beside(n_threads) as side:
        result = side.start(work)
        with pytest.raises(ZeroDivisionError, match="beside"):
            result()


def test_what_is_left_by_an_exception_is_told_so_and_begins_no_more():
    begun = threading.Event()
    told, later, beside = [], [], []

    def work():
        begun.set()
        beside[0]._stop.wait(10)
        told.append(beside[0].stopped())

    def left_by_an_exception():
        with Beside(2) as side:
            beside.append(side)
            side.start(work)
            side.start(lambda: later.append(1))
            assert begun.wait(10)
            raise KeyError

    with pytest.raises(KeyError):
        left_by_an_exception()
    assert told == [True]
    assert not later
