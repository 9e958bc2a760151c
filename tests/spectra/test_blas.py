"""Threads of products of matrices: limited for a while, also in what is loaded later."""

import sys
import types

import pytest
import threadpoolctl

from audionmf.spectra import blas
from audionmf.spectra.blas import blas_threads


def threads():
    return {i["num_threads"] for i in threadpoolctl.threadpool_info() if i["user_api"] == "blas"}


def test_threads_are_limited_until_the_context_is_left():
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = threads()
        with blas_threads(1):
            assert threads() == {1}
            with blas_threads(None):
                assert threads() == {1}
        assert threads() == before
        with pytest.raises(ZeroDivisionError), blas_threads(1):
            raise ZeroDivisionError
        assert threads() == before


def test_libraries_are_searched_for_anew_only_after_an_import(monkeypatch):
    searches = []

    class Counted(threadpoolctl.ThreadpoolController):
        def __init__(self):
            searches.append(self)
            super().__init__()

    monkeypatch.setattr(threadpoolctl, "ThreadpoolController", Counted)
    monkeypatch.setattr(blas, "_found", None)
    for _ in range(3):
        with blas_threads(1):
            pass
    assert len(searches) == 1
    monkeypatch.setitem(sys.modules, "a_library_that_came_later", types.ModuleType("x"))
    with blas_threads(1):
        pass
    assert len(searches) == 2
