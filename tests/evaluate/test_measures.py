"""Scores of stems: against two other implementations, and what must not change them."""

import dataclasses
import itertools
import sys
import warnings

import numpy as np
import pytest
from conftest import child
from hypothesis import given, settings
from hypothesis import strategies as st

from audionmf import LimitError, MissingExtraError, ParameterError
from audionmf.evaluate import measures
from audionmf.evaluate.measures import (
    BssEval,
    Scores,
    best_match,
    bss_eval,
    residual,
    scores,
    si_sdr,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mir_eval.separation

hidden = sys.modules.setdefault("torch", None) is None  # fast_bss_eval would load it, for seconds
import fast_bss_eval.numpy  # noqa: E402

if hidden:
    del sys.modules["torch"]

WORST = (-np.inf,) * 3


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


# --- stems


def mixed(n_sources=3, n_channels=1, n_samples=4000, seed=0, noise=0.1, leak=0.2):
    """Return references, and estimates with some of the others and of noise in them."""
    rng = np.random.default_rng(seed)
    truths = rng.standard_normal((n_sources, n_channels, n_samples))
    gains = np.eye(n_sources) + leak * rng.standard_normal((n_sources, n_sources))
    guesses = np.einsum("jk,kcn->jcn", gains, truths)
    return truths, guesses + noise * rng.standard_normal(guesses.shape)


def filtered(truths, n_taps, seed=5):
    """Return stems filtered, each by a short filter of its own."""
    rng = np.random.default_rng(seed)
    filters = rng.standard_normal((len(truths), n_taps)) / np.arange(1, n_taps + 1)
    return np.array(
        [
            [np.convolve(channel, taps)[: truths.shape[-1]] for channel in stem]
            for stem, taps in zip(truths, filters, strict=True)
        ]
    )


def table(found):
    """Return scores as an array of shape (3, n_sources)."""
    return np.array([dataclasses.astuple(score) for score in found]).T


def mir_eval_scores(truths, guesses):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        found = mir_eval.separation.bss_eval_sources(truths, guesses, compute_permutation=False)
    return np.array(found[:3])


def apart(stems, n_taps=512):
    """Return (n_sources, long) signals: the channels, with zeros between them."""
    return np.pad(stems, ((0, 0), (0, 0), (0, n_taps))).reshape(len(stems), -1)


# --- SI-SDR, SI-SIR, SI-SAR


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("noise", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("n_sources", [2, 4])
def test_scores_are_those_of_fast_bss_eval(n_sources, noise, seed):
    truths, guesses = mixed(n_sources, noise=noise, seed=seed)
    found = scores(truths + 0.3, guesses - 2)
    sdr, sir, sar, order = fast_bss_eval.numpy.si_bss_eval_sources(
        truths[:, 0], guesses[:, 0], zero_mean=True
    )
    assert order.tolist() == list(range(n_sources))
    # BSS Eval counts the interference into the numerator of SAR; Le Roux et al. do not.
    sar -= 10 * np.log10(1 + 10 ** (-sir / 10))
    np.testing.assert_allclose(table(found), [sdr, sir, sar], atol=1e-6)


def test_the_three_scores_of_a_case_worked_by_hand():
    truths = np.array([[1.0, 1, 1, 1, -1, -1, -1, -1], [1, 1, -1, -1, 1, 1, -1, -1]])
    noise = np.array([1.0, -1, 1, -1, 1, -1, 1, -1])
    guesses = np.array([10 * truths[0] + 2 * truths[1] + noise, truths[1] + 0.1 * truths[0]])
    first, second = scores(truths[:, None], guesses[:, None])
    expected = (10 * np.log10(100 / 5), 10 * np.log10(100 / 4), 20.0)
    assert dataclasses.astuple(first) == pytest.approx(expected)
    assert dataclasses.astuple(second) == (
        pytest.approx(20),
        pytest.approx(20),
        pytest.approx(320, abs=20),
    )


def test_the_reference_need_not_be_orthogonal_to_the_others():
    a, b, noise = np.linalg.qr(np.random.default_rng(3).standard_normal((600, 3)))[0].T * 10
    a, b, noise = (x - x.mean() for x in (a, b, noise))
    truths = np.array([a, a + b])[:, None]
    first, _ = scores(truths, np.array([2 * a + b + noise, b])[:, None])
    target = a * (a @ (2 * a + b + noise)) / (a @ a)
    basis = np.linalg.qr(truths[:, 0].T)[0]
    explained = basis @ (basis.T @ (2 * a + b + noise))
    ratio = np.sum(target**2) / np.sum((explained - target) ** 2)
    assert first.si_sir == pytest.approx(10 * np.log10(ratio))


@given(seed=st.integers(0, 2**20), noise=st.floats(1e-3, 10), n_sources=st.integers(2, 4))
@settings(deadline=None, derandomize=True, max_examples=25)
def test_distortion_is_interference_and_artefacts(seed, noise, n_sources):
    truths, guesses = mixed(n_sources, 2, 300, seed, noise)
    sdr, sir, sar = 10 ** (-table(scores(truths, guesses)) / 10)
    np.testing.assert_allclose(sdr, sir + sar, rtol=1e-9)


def test_si_sdr_of_the_scores_is_si_sdr():
    truths, guesses = mixed(3, 2)
    found = [score.si_sdr for score in scores(truths, guesses)]
    assert found == [si_sdr(truth, guess) for truth, guess in zip(truths, guesses, strict=True)]


@pytest.mark.parametrize("method", [scores, bss_eval])
@given(
    gains=st.lists(st.floats(1e-4, 1e4), min_size=3, max_size=3),
    signs=st.lists(st.sampled_from([-1, 1]), min_size=3, max_size=3),
)
@settings(deadline=None, derandomize=True, max_examples=10)
def test_levels_and_signs_do_not_matter(method, gains, signs):
    truths, guesses = mixed(n_samples=600)
    change = (np.array(gains) * signs)[:, None, None]
    taps = {"n_taps": 8} if method is bss_eval else {}
    expected = table(method(truths, guesses, **taps))
    np.testing.assert_allclose(table(method(truths, change * guesses, **taps)), expected, atol=1e-6)
    np.testing.assert_allclose(table(method(change * truths, guesses, **taps)), expected, atol=1e-6)


@pytest.mark.parametrize("method", [scores, bss_eval])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_order_of_the_stems_does_not_matter(method, order):
    truths, guesses = mixed(n_samples=600)
    taps = {"n_taps": 8} if method is bss_eval else {}
    expected = table(method(truths, guesses, **taps))[:, order]
    found = table(method(truths[list(order)], guesses[list(order)], **taps))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_channels_of_stems_are_one_long_signal():
    truths, guesses = mixed(3, 2)
    together = scores(truths.reshape(3, 1, -1), guesses.reshape(3, 1, -1))
    assert scores(truths, guesses) == together


def test_a_single_reference_has_no_interference():
    truths, guesses = mixed(1, 2)
    (found,) = scores(truths, guesses)
    assert found == Scores(si_sdr(truths[0], guesses[0]), np.inf, found.si_sdr)
    (found,) = bss_eval(truths, guesses)
    assert found.sir == np.inf
    assert found.sar == found.sdr < 40


def test_an_exact_copy_has_no_error_at_all():
    truths, _ = mixed()
    assert set(scores(truths, truths)) == {Scores(np.inf, np.inf, np.inf)}
    assert table(bss_eval(truths, truths, 16)).min() > 120


@pytest.mark.parametrize("level", [0.0, 0.1])
def test_silence_on_either_side_is_the_worst_and_touches_no_other(level):
    truths, guesses = mixed(3, 2)
    for stems in (truths, guesses):
        kept = stems[1].copy()
        stems[1] = level
        found = scores(truths, guesses)
        assert found[1] == Scores(*WORST)
        assert np.isfinite(table(found)[:, [0, 2]]).all()
        stems[1] = kept
    truths[1] = level
    expected = scores(truths[[0, 2]], guesses[[0, 2]])
    assert scores(truths, guesses)[::2] == expected
    silence = np.full((2, 1, 9), level)
    assert scores(silence, silence) == (Scores(*WORST),) * 2


def test_a_reference_that_others_add_up_to_adds_nothing_to_the_span():
    truths, guesses = mixed(2, 2)
    more = np.concatenate([truths, truths[:1] * 2, truths.sum(axis=0)[None]])
    found = scores(more, np.concatenate([guesses, guesses]))
    np.testing.assert_allclose(table(found)[:, :2], table(scores(truths, guesses)), atol=1e-9)


# --- BSS Eval


@pytest.mark.parametrize(("n_sources", "noise"), [(1, 0.1), (2, 1e-3), (2, 3.0), (3, 0.1)])
def test_bss_eval_is_that_of_mir_eval(n_sources, noise):
    truths, guesses = mixed(n_sources, n_samples=3000, noise=noise)
    guesses = 0.5 * guesses + filtered(truths, 30)
    expected = mir_eval_scores(truths[:, 0], guesses[:, 0])
    np.testing.assert_allclose(table(bss_eval(truths, guesses)), expected, atol=1e-6)


def test_bss_eval_of_two_channels_is_that_of_mir_eval_with_silence_between_them():
    truths, guesses = mixed(2, 2, 3000)
    expected = mir_eval_scores(apart(truths), apart(guesses))
    np.testing.assert_allclose(table(bss_eval(truths, guesses)), expected, atol=1e-6)


@pytest.mark.parametrize("n_samples", [3, 511, 700])
def test_bss_eval_of_stems_shorter_than_its_filters_is_that_of_mir_eval(n_samples):
    truths, guesses = mixed(2, 1, n_samples, noise=0.5)
    expected = np.minimum(mir_eval_scores(truths[:, 0], guesses[:, 0]), 100)
    found = np.minimum(table(bss_eval(truths, guesses)), 100)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_bss_eval_is_that_of_fast_bss_eval_whatever_the_order():
    truths, guesses = mixed(3, n_samples=3000)
    sdr, sir, sar, order = fast_bss_eval.bss_eval_sources(truths[:, 0], guesses[[2, 0, 1], 0])
    assert order.tolist() == [1, 2, 0]
    np.testing.assert_allclose(table(bss_eval(truths, guesses)), [sdr, sir, sar], atol=1e-9)


def test_bss_eval_forgives_short_filters_only():
    truths, _ = mixed(2, 2, 3000)
    found = table(bss_eval(truths, filtered(truths, 40), 64))
    assert found[0].min() > 20  # what the filter pushed over the end is cut off
    long = np.roll(truths, 100, axis=-1)
    assert table(bss_eval(truths, long, 64))[0].max() < 0
    assert table(bss_eval(truths, long, 128))[0].min() > 10


def test_with_one_tap_it_is_scale_invariant():
    truths, guesses = mixed(3, 2)
    truths, guesses = (x - x.mean(axis=(1, 2), keepdims=True) for x in (truths, guesses))
    found = bss_eval(truths, guesses, 1)
    plain = scores(truths, guesses)
    assert [s.sdr for s in found] == pytest.approx([s.si_sdr for s in plain])
    assert [s.sir for s in found] == pytest.approx([s.si_sir for s in plain])


def test_bss_eval_of_silence_is_the_worst_and_touches_no_other():
    truths, guesses = mixed(3, 2, 800)
    truths[1] = 0
    expected = table(bss_eval(truths[[0, 2]], guesses[[0, 2]], 16))
    found = table(bss_eval(truths, guesses, 16))
    assert tuple(found[:, 1]) == WORST
    np.testing.assert_array_equal(found[:, [0, 2]], expected)
    guesses[0] = 0
    found = bss_eval(truths, guesses, 16)
    assert found[:2] == (BssEval(*WORST),) * 2
    np.testing.assert_allclose(dataclasses.astuple(found[2]), expected[:, 1])
    assert bss_eval(0 * truths, guesses) == (BssEval(*WORST),) * 3


def test_very_quiet_stems_are_no_silence():
    truths, guesses = mixed(2, 2, 300)
    expected = table(bss_eval(truths, guesses, 8))
    np.testing.assert_allclose(table(bss_eval(1e-12 * truths, 1e-30 * guesses, 8)), expected)


def test_equal_references_are_no_trouble():
    truths, guesses = mixed(2, 1, 2000)
    doubled = np.concatenate([truths, truths[:1]])
    found = bss_eval(doubled, np.concatenate([guesses, guesses[:1]]), 64)
    np.testing.assert_allclose(table(found)[:, :2], table(bss_eval(truths, guesses, 64)), atol=1e-3)


def test_stems_of_pure_tones_are_no_trouble():
    seconds = np.arange(4000) / 8000
    truths = np.sin(2 * np.pi * np.array([440, 660, 990])[:, None] * seconds)[:, None]
    _, noise = mixed(3, 1, 4000, leak=0, noise=0)
    found = table(bss_eval(truths, truths + 0.2 * truths[[1, 2, 0]] + 0.01 * noise))
    assert np.isfinite(found).all()


def test_bss_eval_over_the_limit_of_memory_is_refused_before_it_is_tried(monkeypatch):
    monkeypatch.setattr(measures, "_square_cosines", None)
    truths = np.broadcast_to(np.float64(1), (20, 1, 500_000))
    monkeypatch.setattr(measures, "_check_samples", lambda *_: None)
    with pytest.raises(LimitError, match=r"20 stems of 500000 samples .* 13 GiB .* excerpt"):
        measures._filtered(truths, truths, 512)


def test_a_missing_library_is_one_line_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "fast_bss_eval", None)
    monkeypatch.setitem(sys.modules, "fast_bss_eval.numpy", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'audionmf\[evaluate\]'"):
        bss_eval(*mixed(n_samples=50))


def test_bss_eval_needs_no_torch_and_the_rest_neither_scipy_nor_fast_bss_eval():
    code = """
import sys
sys.modules["torch"] = None
import numpy as np
from audionmf import evaluate
stems = np.random.default_rng(0).standard_normal((2, 1, 900))
evaluate.scores(stems, stems + 1)
print([name for name in ("scipy", "fast_bss_eval") if name in sys.modules])
print(evaluate.bss_eval(stems, stems[::-1] + 0.1 * stems)[0].sdr < 0)
"""
    result = child("-W", "error", "-c", code)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.split() == [b"[]", b"True"]


@pytest.mark.parametrize("n_taps", [0, -1, 1.5, None])
def test_a_length_of_filters_that_is_none_is_refused(n_taps):
    with pytest.raises(ParameterError, match="n_taps"):
        bss_eval(*mixed(n_samples=50), n_taps)


# --- the best match


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_permutation_is_found(order, n_channels):
    truths, guesses = mixed(3, n_channels, 500, noise=0.5)
    found = best_match(truths, guesses[list(order)])
    assert found == tuple((k, order.index(k)) for k in range(3))


@given(seed=st.integers(0, 2**20), n_references=st.integers(1, 4), n_estimates=st.integers(1, 4))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_no_other_assignment_has_a_larger_sum(seed, n_references, n_estimates):
    rng = np.random.default_rng(seed)
    truths = rng.standard_normal((n_references, 1, 12)) + 0.2
    guesses = rng.standard_normal((n_estimates, 1, 12))

    def total(pairs):
        return sum(si_sdr(truths[row], guesses[column]) for row, column in pairs)

    fewer = min(n_references, n_estimates)
    best = max(
        total(zip(rows, columns, strict=True))
        for rows in itertools.combinations(range(n_references), fewer)
        for columns in itertools.permutations(range(n_estimates), fewer)
    )
    found = best_match(truths, guesses)
    assert len(found) == fewer
    assert total(found) == pytest.approx(best)


def test_silence_and_copies_are_matched_as_well():
    truths, _ = mixed(4, 2, 300)
    truths[2] = 0
    guesses = truths[[3, 2, 1, 0]]
    assert best_match(truths, guesses) == ((0, 3), (1, 2), (2, 1), (3, 0))
    assert best_match(0 * truths, 0 * guesses) == ((0, 0), (1, 1), (2, 2), (3, 3))


# --- the residual of the sum


def test_the_residual_is_the_energy_of_the_difference_of_the_sums():
    truths, _ = mixed(3, 2)
    error = 1e-3 * truths.sum(axis=0)
    guesses = truths[[1, 2, 0]]
    guesses[1] += error
    assert residual(truths, guesses) == pytest.approx(-60)
    assert residual(truths, 2 * truths) == pytest.approx(0)


def test_the_residual_of_equal_sums_and_of_silence():
    stems = np.array([[[1.0, 2.0]], [[3.0, -1.0]]])
    assert residual(stems, stems[::-1]) == -np.inf
    assert residual(0 * stems, 0 * stems) == -np.inf
    assert residual(0 * stems, stems) == np.inf


# --- what is refused


METHODS = [scores, bss_eval, best_match, residual]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("truths", "guesses", "parts"),
    [
        (np.ones((2, 1, 9)), np.ones((2, 1, 8)), ["(2, 1, 9)", "(2, 1, 8)"]),
        (np.ones((2, 1, 9)), np.ones((2, 2, 9)), ["(2, 1, 9)", "(2, 2, 9)"]),
        (np.ones((2, 9)), np.ones((2, 9)), ["n_sources, n_channels, n_samples", "(2, 9)"]),
        (np.ones((2, 1, 0)), np.ones((2, 1, 0)), ["samples"]),
        (np.ones((0, 1, 5)), np.ones((0, 1, 5)), ["samples"]),
        (np.ones((1, 1, 2)), np.array([[[1, np.nan]]]), ["finite"]),
        (np.array([[[1, -np.inf]]]), np.ones((1, 1, 2)), ["finite"]),
        ([[[1.0, 2.0]], [[3.0]]], np.ones((2, 1, 2)), ["one array"]),
        ([[["a"]]], [[["b"]]], ["one array of numbers"]),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(method, truths, guesses, parts):
    with pytest.raises(ParameterError) as caught:
        method(truths, guesses)
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", [scores, bss_eval, residual])
def test_as_many_estimates_as_references_are_needed(method):
    with pytest.raises(ParameterError, match=r"\(2, 1, 9\).*\(3, 1, 9\)"):
        method(np.ones((2, 1, 9)), np.ones((3, 1, 9)))


@pytest.mark.parametrize("method", METHODS)
def test_stems_are_only_read(method):
    truths, guesses = mixed(2, 2, 100)
    kept = truths.copy(), guesses.copy()
    truths.flags.writeable = guesses.flags.writeable = False
    method(truths, guesses)
    np.testing.assert_array_equal((truths, guesses), kept)


@pytest.mark.parametrize("method", [scores, residual])
def test_stems_in_single_precision_are_compared_in_double(method):
    truths, guesses = (x.astype(np.float32) for x in mixed(2, 2, 100))
    assert method(truths, guesses) == method(truths.astype(float), guesses.astype(float))


def test_scores_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Scores(1.0, 2.0, 3.0).si_sdr = 4.0
