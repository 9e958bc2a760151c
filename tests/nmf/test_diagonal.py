"""Diagonal activations: what each constraint does, and how far a frame is heard."""

import numpy as np
import pytest

from audionmf import ParameterError, nmf
from audionmf.nmf import diagonal

N_BINS = 40


def frames(n, seed=0):
    return np.random.default_rng(seed).gamma(0.3, size=(N_BINS, n)).astype(np.float32)


def test_frames_of_the_corpus_itself_give_its_diagonal():
    W = frames(30)
    H = diagonal.activate(W[:, 5:25], W)
    assert H.dtype == np.float32
    assert np.array_equal(H[3:28, 3:17].argmax(axis=0), np.arange(8, 22) - 3)
    assert diagonal.diagonal_share(H) > 0.9


def test_activations_of_another_sound_run_along_diagonals_and_free_ones_do_not():
    W, V = frames(60), frames(50, seed=1)
    led = diagonal.diagonal_share(diagonal.activate(V, W))
    free = diagonal.diagonal_share(nmf.activate(V, W, n_iter=60))
    assert led > 0.9
    assert led > free + 0.2


def test_no_more_grains_begin_than_polyphony_says():
    W, V = frames(60), frames(50, seed=1)
    H = diagonal.activate(V, W, polyphony=2, continuity=0, repetition=0)
    assert (H / H.max() > 1e-6).sum(axis=0).max() <= 2


def test_a_grain_does_not_repeat_at_once():
    W = frames(20)
    V = np.repeat(W[:, [4]], 9, axis=1)  # one frame, again and again
    H = diagonal.activate(V, W, repetition=2, continuity=0, polyphony=20)
    active = np.flatnonzero(H[4] > 0.01 * H.max())
    assert np.diff(active).min(initial=99) > 2
    free = diagonal.activate(V, W, repetition=0, continuity=0)
    assert (free[4] > 0.5 * free.max()).all()


def test_a_frame_matters_up_to_its_reach_and_no_further():
    W, V = frames(20), frames(40, seed=1)
    options = {"n_iter": 3, "repetition": 1, "continuity": 2}
    reach = diagonal.reach(**options)
    changed = V.copy()
    changed[:, 0] = 5
    one, other = (diagonal.activate(v, W, **options) for v in (V, changed))
    assert reach == 9
    assert not np.array_equal(one[:, :3], other[:, :3])
    assert np.array_equal(one[:, reach + 1 :], other[:, reach + 1 :])


def test_scale_does_not_matter_and_silence_stays_silent():
    W, V = frames(20), frames(15, seed=1)
    V[:, 7] = 0
    H = diagonal.activate(V, W)
    assert not H[:, 7].any()
    assert np.allclose(diagonal.activate(4 * V, W), 4 * H, rtol=1e-4, atol=1e-6)
    assert not diagonal.activate(V, np.pad(W, ((0, 0), (0, 3))))[20:].any()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n_iter": 0}, "n_iter must be"),
        ({"polyphony": 0}, "polyphony must be"),
        ({"repetition": -1}, "repetition must be"),
        ({"continuity": 1.5}, "continuity must be"),
        ({"templates": frames(5)[1:]}, "templates have 39 bins, V has 40"),
    ],
)
def test_what_makes_no_sense_is_refused(options, text):
    options = {"templates": frames(5), **options}
    with pytest.raises(ParameterError, match=text):
        diagonal.activate(frames(5), **options)
