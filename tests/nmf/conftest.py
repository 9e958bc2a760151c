"""Tests of factorisations are small, and their threads are to work all the same."""

import pytest

from audionmf.nmf import kernels


@pytest.fixture(autouse=True, scope="module")
def threads_for_little():
    """Let as many threads work on little as are asked for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_ALONE", 1)
        yield
