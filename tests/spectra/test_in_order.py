import threading

import pytest

from audionmf.spectra.in_order import in_order


@pytest.mark.parametrize("n_threads", [1, 3])
def test_results_come_in_the_order_of_the_items(n_threads):
    first_may_end = threading.Event()

    def work(i):
        if i == 0 and n_threads > 1:
            assert first_may_end.wait(10)
        if i == n_threads - 1:
            first_may_end.set()
        return i * i

    assert list(in_order(work, range(20), n_threads)) == [i * i for i in range(20)]


def test_what_is_raised_is_raised_where_the_results_are_taken():
    def work(i):
        if i == 3:
            raise ValueError("three")
        return i

    results = in_order(work, range(9), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_items_are_taken_only_a_few_ahead():
    asked = []

    def items():
        for i in range(100):
            asked.append(i)
            yield i

    results = in_order(lambda i: i, items(), 2)
    assert next(results) == 0
    assert len(asked) <= 3
    results.close()
    assert len(asked) <= 3
