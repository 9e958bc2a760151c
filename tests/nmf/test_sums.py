"""The sum of models: whatever is added up descends, and each model is what it says."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audionmf import ParameterError, nmf
from audionmf.nmf import convolutive
from audionmf.nmf.divergence import beta_divergence
from audionmf.nmf.drawn import DrawnSpectra
from audionmf.nmf.equalise import EqualisedSpectra
from audionmf.nmf.models import Spectra
from audionmf.nmf.sums import as_far_as, fit_sum

KINDS = ("fixed", "free", "gated", "patterns", "free patterns", "voice")


def made(kind, shape, seed, dtype=np.float64):
    """Return a model of a kind for V of some shape, that starts at random."""
    (n_bins, n_frames), rng = shape, np.random.default_rng(seed)
    random = lambda *size: rng.random(size).astype(dtype)  # noqa: E731
    if kind == "voice":
        return nmf.Voice(
            random(4, n_bins), random(3, n_bins), pitches=random(n_frames, 4),
            filters=random(2, 3), openings=random(n_frames, 2), gains=np.ones(1, dtype),
        )  # fmt: skip
    if "patterns" in kind:
        return nmf.Patterned(random(3, 2, n_bins), random(n_frames, 2), free="free" in kind)
    H = random(n_frames, 3)
    if kind == "gated":
        H[:, 1:] *= rng.random((n_frames, 2)) > 0.5  # something may always sound
    return nmf.Spectra(random(3, n_bins), H, free=kind != "fixed")


def modelled(models, n_frames):
    return sum(model.part(slice(0, n_frames))[0] for model in models).T


def data(kind, shape, seed):
    """Return random, sparse or partly silent data, or a spectrogram of plucked strings."""
    rng = np.random.default_rng(seed)
    V = rng.random(shape)
    if kind == "sparse":
        V *= rng.random(shape) > 0.8
    if kind == "silent":
        V[:, : shape[1] // 2] = 0
        V[: shape[0] // 2] = 0
    if kind == "decaying":
        V = np.outer(rng.random(shape[0]) ** 8, 0.9 ** (np.arange(shape[1]) % 20))
    return V


@pytest.mark.parametrize("pair", list(itertools.combinations_with_replacement(KINDS, 2)))
@given(
    kind=st.sampled_from(["random", "sparse", "silent", "decaying"]),
    n_frames=st.sampled_from([1, 5, 128, 131]),
    seed=st.integers(0, 999),
    accelerated=st.booleans(),
)
@settings(max_examples=8, deadline=None)
def test_the_divergence_never_rises_whatever_is_added_up(pair, kind, n_frames, seed, accelerated):
    V = data(kind, (7, n_frames), seed)
    models = [made(each, V.shape, seed + i) for i, each in enumerate(pair)]
    fitted = fit_sum(V, models, max_iter=8, accelerated=accelerated)
    assert np.all(np.diff(fitted.divergence) <= 1e-9 * (fitted.divergence[:-1] + V.sum()))
    last = beta_divergence(V, np.maximum(modelled(models, n_frames), 1e-20), 1.0)
    assert fitted.divergence[-1] == pytest.approx(last, rel=1e-6, abs=1e-9 * (1 + V.sum()))


def test_spectra_alone_are_plain_nmf():
    V = data("random", (9, 60), 0)
    free, fixed = made("free", V.shape, 1), made("fixed", V.shape, 2)
    W, H = np.concatenate([free.rows, fixed.rows]).T, None
    H = np.concatenate([free.activations, fixed.activations], axis=1).T
    fit_sum(V, [free, fixed], max_iter=1)
    H = H * (W.T @ (V / (W @ H))) / W.sum(axis=0)[:, None]
    moved = W * ((V / (W @ H)) @ H.T) / H.sum(axis=1)
    assert np.allclose(free.activations.T, H[:3])
    assert np.allclose(fixed.activations.T, H[3:])
    assert np.allclose(free.rows.T, moved[:, :3])
    assert np.allclose(fixed.rows.T, W[:, 3:])


def test_spectra_are_the_same_by_the_kernel_and_beside_others():
    """A voice that is silent adds nothing, but takes the other way through the code."""
    V = data("random", (9, 200), 0)
    alone = [made("free", V.shape, 1), made("gated", V.shape, 2)]
    beside = [made("free", V.shape, 1), made("gated", V.shape, 2)]
    for models in (alone, beside):
        models[0].penalties = np.array([0, 0.1, 0.2])
    silent = made("voice", V.shape, 3)
    silent.pitches[:] = 0
    one = fit_sum(V, alone, max_iter=10)
    other = fit_sum(V, [*beside, silent], max_iter=10)
    assert np.allclose(one.divergence, other.divergence, rtol=1e-6)
    for a, b in zip(alone, beside, strict=True):
        assert np.allclose(a.rows, b.rows, rtol=1e-4, atol=1e-9)
        assert np.allclose(a.activations, b.activations, rtol=1e-4, atol=1e-9)


def test_patterns_alone_are_convolutive_nmf():
    V = data("random", (8, 150), 0)
    patterns = made("free patterns", V.shape, 1)
    start = patterns.patterns.transpose(0, 2, 1).copy(), patterns.activations.T.copy()
    expected = convolutive.fit(
        V, 2, 3, templates=start[0], activations=start[1], max_iter=5, tol=0,
    )  # fmt: skip
    fitted = fit_sum(V, [patterns], max_iter=5)
    assert fitted.divergence[-1] == pytest.approx(expected.divergence[-1], rel=1e-6)
    rows, H = patterns.spectra()
    assert np.allclose(
        rows.T @ H.T, convolutive.model(expected.templates, expected.activations), rtol=1e-5
    )


def test_a_pattern_spectra_and_a_voice_are_each_found_again():
    """What is known of each source is used: each part of a sum of three is that of its source."""
    rng = np.random.default_rng(0)
    n_bins, n_frames = 40, 120
    truth = [
        made(kind, (n_bins, n_frames), i) for i, kind in enumerate(["patterns", "fixed", "voice"])
    ]
    truth[0].activations *= rng.random(truth[0].activations.shape) > 0.9
    truth[1].activations *= rng.random(truth[1].activations.shape) > 0.7
    parts = [model.part(slice(0, n_frames))[0] for model in truth]
    guess = [
        made(kind, (n_bins, n_frames), i) for i, kind in enumerate(["patterns", "fixed", "voice"])
    ]
    guess[0].activations[:], guess[1].activations[:], guess[2].pitches[:] = 0.5, 0.5, 0.5
    fit_sum(sum(parts).T, guess, max_iter=400)
    for model, part in zip(guess, parts, strict=True):
        found = model.part(slice(0, n_frames))[0]
        assert np.abs(found - part).sum() < 0.1 * part.sum()


@pytest.mark.parametrize("kinds", [("free", "gated"), ("free", "free patterns", "voice")])
def test_threads_change_nothing(kinds):
    V = data("random", (9, 400), 0).astype(np.float32)
    results = []
    for n_threads in (1, 3):
        models = [made(kind, V.shape, i, np.float32) for i, kind in enumerate(kinds)]
        fitted = fit_sum(V, models, max_iter=4, n_threads=n_threads)
        results.append((fitted.divergence, modelled(models, 400)))
    for one, more in zip(*results, strict=True):
        assert np.array_equal(one, more)


def test_a_louder_recording_is_the_same_sum_louder():
    V = data("random", (9, 200), 0)
    rows = []
    for level in (1.0, 2.0**20):
        models = [made(kind, V.shape, i) for i, kind in enumerate(("free", "patterns", "voice"))]
        for model in models:
            model.scale(level)
        drawn = DrawnSpectra(np.full((2, 9), 1 / 9), np.full((200, 2), level))
        fit_sum(V * level, [*models, drawn], max_iter=5)
        rows.append(modelled([*models, drawn], 200) / level)
    assert np.allclose(*rows)


def test_an_equaliser_moves_beside_others():
    """A known spectrum through another room: its equaliser is found beside patterns."""
    n_bins, n_frames = 30, 200
    known = made("fixed", (n_bins, n_frames), 0)
    struck = made("patterns", (n_bins, n_frames), 1)
    struck.activations *= np.random.default_rng(3).random(struck.activations.shape) > 0.9
    tilt = np.linspace(0.5, 1.5, n_bins)
    V = ((known.activations @ (known.rows * tilt)) + struck.part(slice(0, n_frames))[0]).T
    sums = known.rows.sum(axis=1, keepdims=True)
    through = EqualisedSpectra(
        known.rows / sums, np.full((n_frames, 3), 1.0), np.zeros(3, int), np.eye(n_bins)
    )
    guess = nmf.Patterned(struck.patterns, np.full((n_frames, 2), 0.1))
    fit_sum(V, [through, guess], max_iter=200)
    gain = through.gains[0] / through.gains[0].mean()
    assert np.corrcoef(gain, tilt)[0, 1] > 0.95


@pytest.mark.parametrize("kinds", [("free", "gated"), ("free", "free patterns", "voice")])
def test_momentum_takes_half_the_iterations(kinds):
    V = data("random", (20, 300), 0)

    def fitted(**options):
        return fit_sum(V, [made(kind, V.shape, i) for i, kind in enumerate(kinds)], **options)

    plain = fitted(max_iter=60).divergence
    carried = fitted(max_iter=30, accelerated=True).divergence
    assert carried[-1] < plain[-1]
    assert np.all(np.diff(carried) <= 1e-9 * V.sum())


class Halfway:
    """Goes half the way to V each time, so that momentum must carry it too far."""

    carried = ("x",)

    def __init__(self, x):
        self.x, self.seen = x, []

    def scale(self, factor):
        self.x *= factor

    def cost(self):
        return 0.0

    def moves(self, phase):
        return phase == "activations"

    def part(self, frames):
        return self.x[frames].copy(), None

    def gather(self, phase, frames, ratio, kept):
        self.seen.append(self.x.copy())
        return ratio

    def move(self, phase, gathered):
        self.x *= gathered[0] ** 0.5


def test_a_step_uphill_is_taken_back_to_where_it_began():
    V = 1 + np.random.default_rng(0).random((6, 20))
    model = Halfway(np.full(V.T.shape, 0.01))
    fit_sum(V, [model], max_iter=30, accelerated=True)
    last, n_uphill = np.inf, 0
    for i, x in enumerate(model.seen[:-1]):
        now = beta_divergence(V, x.T, 1.0)
        if now > last:
            n_uphill += 1
            assert np.allclose(model.seen[i + 1], np.sqrt(V.T * model.seen[i - 1]), rtol=1e-12)
        last = min(last, now)
    assert n_uphill > 0


def test_momentum_is_refused_where_nothing_tells_uphill():
    V = data("random", (9, 50), 0)
    free = made("free", V.shape, 0)
    drawn = DrawnSpectra(free.rows, free.activations)
    with pytest.raises(ParameterError, match="DrawnSpectra has a prior"):
        fit_sum(V, [free, drawn], accelerated=True)
    with pytest.raises(ParameterError, match="momentum needs the divergence"):
        fit_sum(V, [free], accelerated=True, measure=False)


def test_it_can_be_cancelled_and_stops_by_itself():
    V = data("random", (9, 50), 0)
    states = []

    def watch(state):
        states.append(state)
        return state.iteration == 3

    fitted = fit_sum(V, [made("free", V.shape, 0)], max_iter=9, callback=watch)
    assert (fitted.reason, fitted.n_iter, len(fitted.divergence)) == ("cancelled", 3, 4)
    assert [state.iteration for state in states] == [1, 2, 3]
    fitted = fit_sum(V, [made("fixed", V.shape, 0)], max_iter=5000, tol=1e-3)
    assert fitted.reason == "tolerance"
    assert fitted.n_iter < 5000


def test_v_is_not_modified_and_wrong_input_is_refused():
    V = data("random", (9, 50), 0)
    V.flags.writeable = False
    fit_sum(V, [made(kind, V.shape, 0) for kind in KINDS], max_iter=2)
    with pytest.raises(ParameterError, match="a sum needs a model"):
        fit_sum(V, [])
    with pytest.raises(ParameterError, match="finite and 0 or more"):
        fit_sum(-V, [made("free", V.shape, 0)])
    with pytest.raises(ParameterError, match="leave measure on"):
        fit_sum(V, [made("free", V.shape, 0)], tol=0.1, measure=False)


# Momentum up to a bound


def test_steps_with_momentum_count_for_what_they_carry_on():
    assert [as_far_as(n, 0.0) for n in (0, 1, 20)] == [0, 1, 20]
    assert as_far_as(50, 0.7) == 18
    assert as_far_as(20, 0.6) == 10


@pytest.mark.parametrize("free", [False, True])
def test_bounded_momentum_comes_as_far_in_fewer_steps(free):
    rng = np.random.default_rng(0)
    V, rows, H = rng.random((30, 200)) ** 3, rng.random((6, 30)) + 0.1, rng.random((200, 6)) + 0.1

    def left(n, **options):
        model = Spectra(rows.copy(), H.copy(), free=free)
        fit_sum(V, [model], max_iter=n, measure=False, n_threads=1, **options)
        Y = (model.activations @ model.rows).T
        return (V * np.log(np.maximum(V, 1e-30) / Y) - V + Y).sum()

    before, there, short = left(0), left(30), left(15)
    found = left(as_far_as(30, 0.7), carried=0.7)
    assert abs(found - there) < 0.5 * (short - there) < 0.5 * (before - there)


def test_bounded_momentum_is_refused_where_it_would_not_be_used():
    V, model = np.ones((3, 4)), Spectra(np.ones((2, 3)), np.ones((4, 2)))
    for options in ({"carried": 0.5}, {"carried": 1.0, "measure": False}):
        with pytest.raises(ParameterError, match="momentum"):
            fit_sum(V, [model], **options)
