"""Transforms of real signals are those of scipy.fft, loaded with it or without."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.fft

from audionmf.spectra import fourier
from audionmf.spectra.extension import extension


@pytest.fixture(params=["alone", "with scipy.fft"])
def loaded(request, monkeypatch):
    if request.param == "with scipy.fft":
        monkeypatch.setattr(fourier, "_machine_code", lambda: None)
    else:
        assert fourier._machine_code() is not None
    return request.param


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 7, 64])
def test_transforms_are_to_the_bit_those_of_scipy(loaded, dtype, n):
    samples = np.random.default_rng(0).standard_normal((2, 5, 2 * n)).astype(dtype)[..., ::2]
    found = fourier.rfft(samples, 2)
    expected = scipy.fft.rfft(samples, axis=-1)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    transform = np.asfortranarray(found)
    back = fourier.irfft(transform, n)
    np.testing.assert_array_equal(back, scipy.fft.irfft(transform, n, axis=-1))
    np.testing.assert_allclose(back, samples, atol=1e-5)
    places = np.zeros_like(found), np.zeros_like(back)
    assert fourier.rfft(samples, out=places[0]) is places[0]
    assert fourier.irfft(transform, n, out=places[1]) is places[1]
    for place, expected in zip(places, (found, back), strict=True):
        np.testing.assert_array_equal(place, expected)


def test_a_scipy_that_keeps_its_code_elsewhere_transforms_all_the_same():
    place = ("scipy.fft", "_pocketfft")
    assert extension(*place, "pypocketfft", lambda code: True) is not None
    assert extension(*place, "nowhere", lambda code: True) is None
    assert extension("scipy_that_is_not_there", "", "pypocketfft", lambda code: True) is None


def test_code_that_is_called_otherwise_or_does_something_else_is_left_alone():
    def swapped(code):
        return SimpleNamespace(r2c=code.r2c, c2r=lambda *a: code.c2r(*a) * 2)

    def elsewhere(code):
        return SimpleNamespace(r2c=lambda *a: code.r2c(*a[:4], None, 1), c2r=code.c2r)

    def otherwise(code):
        return SimpleNamespace(r2c=lambda samples: samples, c2r=code.c2r)

    place = ("scipy.fft", "_pocketfft", "pypocketfft")
    assert extension(*place, fourier._transforms) is not None
    for other in (swapped, elsewhere, otherwise, lambda code: SimpleNamespace()):
        assert extension(*place, lambda code, other=other: fourier._transforms(other(code))) is None


def test_transforms_and_medians_load_nothing_else_of_scipy():
    program = (
        "import sys, numpy as np; from audionmf.spectra import fourier, medians;"
        "from audionmf.spectra.stft import STFT;"
        "STFT(64, 16).forward(np.ones((1, 99), 'f'));"
        "medians.running_median(np.ones((2, 9), 'f'), 3);"
        "print(None in (fourier._machine_code(), medians._code_of_filters()),"
        "[name for name in sys.modules if name.startswith('scipy')"
        " and name.rpartition('.')[2] not in ('pypocketfft', '_rank_filter_1d')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False []\n", done.stderr


def test_a_process_that_loads_scipys_transforms_as_well_ends_in_order():
    program = (
        "import numpy as np; from audionmf.spectra import fourier;"
        "assert fourier._machine_code().__name__ == 'scipy.fft._pocketfft.pypocketfft';"
        "import scipy.fft; scipy.fft.rfft(np.ones(9))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
