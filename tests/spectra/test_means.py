"""Running means are those of SciPy's filter, loaded with all its filters or alone."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import uniform_filter1d

from audionmf.spectra import means
from audionmf.spectra.means import running_mean


@pytest.fixture(params=["alone", "with scipy.ndimage"])
def loaded(request, monkeypatch):
    if request.param == "alone":
        assert means._machine_code() is not None
    else:
        monkeypatch.setattr(means, "_machine_code", lambda: None)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(60, 32), (7, 3), (1, 1)])
@pytest.mark.usefixtures("loaded")
def test_means_are_to_the_bit_those_of_scipy(shape, order, dtype):
    x = np.asarray(np.random.default_rng(0).random(shape), dtype, order)
    before = x.copy()
    for size in (1, 2, 3, 9, 65):
        for axis in (0, 1):
            found = running_mean(x, size, axis)
            assert found.dtype == dtype
            np.testing.assert_array_equal(
                found, uniform_filter1d(x, size, axis=axis, mode="nearest")
            )
    np.testing.assert_array_equal(x, before)


def test_code_that_finds_something_else_is_left_alone():
    class Other:
        @staticmethod
        def uniform_filter1d(x, size, axis, out, mode, beyond, origin):
            out[...] = x

    assert means._machine_code() is not None
    assert not means._finds_means(Other)


def test_means_take_no_more_of_scipy_than_they_need():
    code = (
        "import sys, numpy; from audionmf.spectra.means import running_mean;"
        "running_mean(numpy.ones((3, 3)), 3, 1); sys.exit('scipy.ndimage' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
