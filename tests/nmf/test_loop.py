"""One loop for every model: when it stops, whom it tells, what it takes back."""

import numpy as np
import pytest

from audionmf import nmf
from audionmf.nmf import convolutive, loop
from audionmf.nmf.constrained import fit_constrained
from audionmf.nmf.loop import Watch, descend

RNG = np.random.default_rng(0)
V = RNG.uniform(0.1, 2, (6, 9000))
W, H = RNG.random((6, 2)), RNG.random((2, 9000))
ZONES = RNG.integers(0, 100, V.shape)


def by_sum(callback):
    models = [
        nmf.Patterned(RNG.random((2, 1, 6)), RNG.random((9000, 1)), free=True),
        nmf.Spectra(RNG.random((2, 6)), RNG.random((9000, 2)), free=True),
    ]
    return nmf.fit_sum(V, models, callback=callback)


def by_hints(callback):
    # Frames that are alike would be one piece.
    penalties = np.stack([np.zeros(100), 1 + 1e-12 * np.arange(100)], axis=1)
    return fit_constrained(V, W, H, [0, 1], ZONES, penalties, callback=callback)


def by_shifts(callback):
    return nmf.fit_shifted(V, 1, 3, callback=callback)


def by_patterns(callback):
    return convolutive.fit(V, 2, 2, callback=callback)


@pytest.mark.parametrize("fitted", [by_sum, by_hints, by_shifts, by_patterns])
def test_a_callback_cancels_within_an_iteration(monkeypatch, fitted):
    monkeypatch.setattr(loop, "_PATIENCE_S", 0.0)
    told = []

    def callback(state):
        told.append(state.iteration)
        return len(told) == 2 or state.iteration > 1

    found = fitted(callback)
    assert told == [0, 0]
    assert (found.reason, found.n_iter) == ("cancelled", 0)
    values = found.objective if hasattr(found, "objective") else found.divergence
    assert np.isfinite(values).all()
    assert len(values) == 1


@pytest.mark.parametrize("fitted", [by_sum, by_hints, by_shifts, by_patterns])
def test_an_iteration_that_takes_no_time_is_told_once(monkeypatch, fitted):
    monkeypatch.setattr(loop, "_PATIENCE_S", 1e9)
    told = []
    fitted(lambda state: told.append(state.iteration) or state.iteration == 3)
    assert told == [1, 2, 3]


def test_what_is_at_work_has_ended_when_a_fit_is_cancelled(monkeypatch):
    """Hints move activations block by block: the divergence told is that of what is returned."""
    monkeypatch.setattr(loop, "_PATIENCE_S", 0.0)
    found = by_hints(lambda state: True)
    W, H = found.templates, found.activations
    hinted = W @ (np.exp([0, -1])[:, None] * H)
    objective = nmf.beta_divergence(V, hinted) + (W @ H - hinted).sum()
    assert found.objective[-1] == pytest.approx(objective, rel=1e-9)


class Going:
    """Steps whose divergence is told beforehand."""

    def __init__(self, values):
        self.values, self.done = list(values), []

    def step(self):
        self.done.append("step")
        return self.values.pop(0)

    def leap(self, b):
        self.done.append(round(b, 2))

    def back(self):
        self.done.append("back")


def test_momentum_grows_and_begins_anew_where_the_divergence_would_rise():
    going, watch = Going([9, 8, 7, 8, 6, 5]), Watch(5)
    descend(watch, going.step, momentum=going)
    assert [x for x in going.done if x != "step"] == [0, 0.25, 0.4, 0.5, "back", 0, 0.25]
    assert watch.values == [9, 8, 7, 6, 5]
    assert (watch.n_iter, watch.reason) == (5, "max_iter")


def test_it_ends_where_a_plain_step_cannot_lower_the_divergence_any_more():
    going, watch = Going([9, 10, 10]), Watch(50)
    descend(watch, going.step, momentum=going)
    assert (watch.n_iter, watch.reason) == (1, "precision")
    assert going.done[-1] == "back"


def test_what_is_not_measured_is_not_kept():
    watch = Watch(3, callback=lambda state: np.isnan(state.divergence) and state.iteration == 2)
    descend(watch, Going([np.nan] * 3).step)
    assert (watch.values, watch.n_iter, watch.reason) == ([], 2, "cancelled")


def test_an_error_in_a_block_comes_through_and_ends_the_others():
    done = []

    def work(block):
        if block == 0:
            raise ValueError("this block")
        done.append(block)

    with loop.Workers(1, Watch(1)) as workers:
        with pytest.raises(ValueError, match="this block"):
            workers.each(work, range(100))
        n_done = len(done)
        workers.each(int, [0])
        assert len(done) == n_done < 99
