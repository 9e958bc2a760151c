"""Transport of spectra: the plan, spectra between, and frames of sound."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import wasserstein_distance

from audionmf.spectra.stft import STFT
from audionmf.spectra.transport import Transport, between_spectra, transport_plan

masses = arrays.arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 10)).filter(
    lambda a: a.sum() > 0.1
)


@settings(max_examples=60, deadline=None)
@given(masses, masses)
def test_the_plan_has_the_shares_of_both_and_costs_the_least(a, b):
    i, j, share = transport_plan(a, b)
    assert np.allclose(np.bincount(i, share, len(a)), a / a.sum(), atol=1e-9)
    assert np.allclose(np.bincount(j, share, len(b)), b / b.sum(), atol=1e-9)
    least = wasserstein_distance(np.arange(len(a)), np.arange(len(b)), a, b)
    assert share @ np.abs(i - j) == pytest.approx(least, abs=1e-9)


@given(st.integers(3, 12).flatmap(lambda n: st.tuples(*[arrays.arrays(
    np.float64, n, elements=st.floats(0.01, 10))] * 2)), st.floats(0, 1))  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_a_spectrum_between_has_its_sum_and_its_centre_between(pair, amount):
    a, b = pair
    found = between_spectra(a, b, amount)
    bins = np.arange(len(a))
    centre = [(bins @ x) / x.sum() for x in (a, b, found)]
    assert found.sum() == pytest.approx((1 - amount) * a.sum() + amount * b.sum())
    assert centre[2] == pytest.approx((1 - amount) * centre[0] + amount * centre[1])
    assert np.allclose(between_spectra(a, b, 0), a)
    assert np.allclose(between_spectra(a, b, 1), b)


def test_a_peak_glides_where_a_sum_would_fade():
    a, b = np.eye(9)[1], np.eye(9)[7]
    assert between_spectra(a, b, 0.5).argmax() == 4
    assert np.array_equal(between_spectra(a, 0 * b, 0.25), 0.75 * a)


def transformed(samples):
    return STFT(256, 32).forward(samples.astype(np.float32)[None])[0].T


def carried(a, b, amount):
    transport = Transport(STFT(256, 32))
    return [
        transport.frame(x, y, amount) for x, y in zip(transformed(a), transformed(b), strict=True)
    ]


def test_a_sound_carried_over_to_itself_stays_as_it_is():
    noise = np.random.default_rng(0).standard_normal(4000)
    for frame, wanted in zip(carried(noise, noise, 0.5), transformed(noise), strict=True):
        assert np.linalg.norm(frame - wanted) < 1e-3 * np.linalg.norm(wanted)


def test_each_frame_has_the_level_between():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(4000), 3 * rng.standard_normal(4000)
    frames = zip(carried(a, b, 0.25), transformed(a), transformed(b), strict=True)
    for frame, x, y in frames:
        wanted = 0.75 * np.linalg.norm(x) + 0.25 * np.linalg.norm(y)
        assert np.linalg.norm(frame) == pytest.approx(wanted, rel=1e-4)


def test_where_one_is_silent_the_other_is_softer():
    noise = np.random.default_rng(0).standard_normal(2000)
    for frame, x in zip(carried(noise, 0 * noise, 0.25), transformed(noise), strict=True):
        assert np.allclose(frame, 0.75 * x, atol=1e-4)
