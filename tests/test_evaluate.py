import fast_bss_eval.numpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audionmf import ParameterError
from audionmf.evaluate import si_sdr


def signals(*shape, seed=0, distortion=0.3):
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal(shape)
    return truth, 0.7 * truth + distortion * rng.standard_normal(shape)


@pytest.mark.parametrize("distortion", [1e-3, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_the_si_sdr_of_fast_bss_eval(distortion, seed):
    truth, estimate = signals(5000, seed=seed, distortion=distortion)
    expected = fast_bss_eval.numpy.si_sdr(truth[None], estimate[None], zero_mean=True)
    assert si_sdr(truth, estimate) == pytest.approx(float(expected[0]), abs=1e-6)


def test_it_is_the_ratio_of_the_projection_to_what_is_left():
    truth = np.array([1.0, -1.0, 1.0, -1.0])
    estimate = 3 * truth + np.array([1.0, 1.0, -1.0, -1.0])
    assert si_sdr(truth, estimate) == pytest.approx(10 * np.log10(9.0))


@given(
    gain=st.floats(1e-6, 1e6),
    sign=st.sampled_from([-1, 1]),
    offset=st.floats(-10, 10),
)
@settings(deadline=None, derandomize=True, max_examples=50)
def test_level_sign_and_offset_of_the_estimate_do_not_matter(gain, sign, offset):
    truth, estimate = signals(500)
    expected = si_sdr(truth, estimate)
    changed = sign * gain * (estimate + offset)
    assert si_sdr(truth, changed) == pytest.approx(expected, abs=1e-6)
    assert si_sdr(1e-3 * truth + 2, estimate) == pytest.approx(expected, abs=1e-6)


def test_channels_are_one_long_signal():
    truth, estimate = signals(2, 500)
    assert si_sdr(truth, estimate) == si_sdr(truth.ravel(), estimate.ravel())


@pytest.mark.parametrize("gain", [1.0, -1.0, 0.5, 4.0])
def test_an_exactly_scaled_copy_is_infinitely_good(gain):
    truth = np.array([1.0, -1.0, 2.0, -2.0])
    assert si_sdr(truth, gain * truth) == np.inf


@pytest.mark.parametrize("gain", [0.3, -0.7, 1e-9, 1e9])
def test_a_scaled_copy_is_as_good_as_rounding_lets_it_be(gain):
    truth, _ = signals(5000)
    assert si_sdr(truth, gain * truth) > 250


def test_silence_is_infinitely_bad():
    truth, estimate = signals(500)
    silence = np.zeros(500)
    assert si_sdr(truth, silence) == -np.inf
    assert si_sdr(truth, np.full(500, 0.25)) == -np.inf
    assert si_sdr(silence, estimate) == -np.inf
    assert si_sdr(silence, silence) == -np.inf


def test_what_is_orthogonal_is_infinitely_bad():
    assert si_sdr([1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]) == -np.inf


def test_single_precision_is_computed_in_double():
    truth, estimate = (x.astype(np.float32) for x in signals(5000))
    expected = si_sdr(truth.astype(np.float64), estimate.astype(np.float64))
    assert si_sdr(truth, estimate) == expected
    assert isinstance(si_sdr(truth, estimate), float)


def test_inputs_are_only_read():
    truth, estimate = signals(500)
    kept = truth.copy(), estimate.copy()
    truth.flags.writeable = estimate.flags.writeable = False
    si_sdr(truth, estimate)
    np.testing.assert_array_equal((truth, estimate), kept)


@pytest.mark.parametrize("shape", [(2, 499), (500,), (1, 500)])
def test_shapes_that_differ_are_refused_with_both(shape):
    with pytest.raises(ParameterError) as caught:
        si_sdr(np.ones((2, 500)), np.ones(shape))
    assert "(2, 500)" in str(caught.value)
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("shape", [(0,), (2, 0)])
def test_nothing_cannot_be_compared(shape):
    with pytest.raises(ParameterError):
        si_sdr(np.ones(shape), np.ones(shape))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad):
    truth, estimate = signals(500)
    estimate[3] = bad
    with pytest.raises(ParameterError, match="finite"):
        si_sdr(truth, estimate)
    with pytest.raises(ParameterError, match="finite"):
        si_sdr(estimate, truth)
