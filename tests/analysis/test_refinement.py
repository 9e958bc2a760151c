"""Hints about parts of the spectrogram change a decomposition as they say."""

import dataclasses

import numpy as np
import pytest
from conftest import RATE, tone

from audionmf.analysis import refinement
from audionmf.analysis.analysing import analyse
from audionmf.analysis.refinement import Hint, refine, refine_within
from audionmf.errors import ParameterError
from audionmf.io.audio import Audio

LOW, HIGH = 330, 880
MIX = Audio(np.concatenate([tone(LOW), tone(HIGH), tone(LOW) + tone(HIGH)]), RATE)
HINT = Hint("b", belongs=True, start=0.5, end=1.0, low=800, high=960)


@pytest.fixture(scope="module")
def found():
    """Two components, both notes in each: as bad as a start can be."""
    model = analyse(MIX, components=True, n_components=2, n_fft=512, max_iter=30, mask_exponent=1.0)
    W = model.templates.templates
    mixed = np.stack([W[:, 0] + 0.9 * W[:, 1], 0.9 * W[:, 0] + W[:, 1]], axis=1) / 1.9
    H = np.repeat(model.activations.sum(axis=0, keepdims=True), 2, axis=0) / 2
    model = dataclasses.replace(
        model,
        templates=dataclasses.replace(model.templates, templates=mixed),
        activations=H,
    )
    return model.regroup({"a": (0,), "b": (1,)})


def share(model, name, hint):
    """Return how much of the model of a hint's region a source has."""
    stft = model.templates.stft
    frequencies = stft.frequencies(RATE)
    times = stft.times(model.activations.shape[1], RATE)
    models = model.models(model.activations)
    part = models[:, (hint.low <= frequencies) & (frequencies <= hint.high)]
    part = part[:, :, (hint.start <= times) & (times < hint.end)]
    return part[list(model.grouping).index(name)].sum() / part.sum()


def test_what_belongs_to_a_source_goes_there_and_its_sound_with_it(found):
    better = refine(MIX, found, [HINT])
    assert share(found, "b", HINT) < 0.6
    assert share(better, "b", HINT) > 0.9
    elsewhere = dataclasses.replace(HINT, start=1.1, end=1.4)
    assert share(better, "b", elsewhere) > 0.85
    assert better.grouping == found.grouping
    assert better.templates.labels == found.templates.labels
    assert (np.diff(better.divergence) <= 0).all()


def test_frames_without_hints_need_not_be_picked_out(found, monkeypatch):
    monkeypatch.setattr(refinement, "_MOST_FRAMES", 12)
    brief = dataclasses.replace(HINT, start=0.6, end=0.64)
    expected = refine(MIX, found, [brief])
    monkeypatch.setattr(refinement, "_FEW", 0)
    np.testing.assert_allclose(
        expected.activations, refine(MIX, found, [brief]).activations, rtol=1e-4, atol=1e-6
    )
    assert np.abs(expected.activations - found.activations).max() > 0.1


def test_a_part_is_found_again_at_once_and_all_else_stays(found):
    """With the templates as they are; as in all of it, but for the hints that are elsewhere."""
    mask = Hint("b", belongs=False, start=0.6, end=0.9, low=800, high=960)
    elsewhere = dataclasses.replace(mask, start=1.1, end=1.4)
    part = refine_within(MIX, found, [mask, elsewhere], (0.55, 1.0))
    assert share(part, "b", mask) < 0.1
    assert share(part, "b", elsewhere) == share(found, "b", elsewhere)
    assert part.templates is found.templates
    times = found.templates.stft.times(found.activations.shape[1], RATE)
    moved = (part.activations != found.activations).any(axis=0)
    assert moved.any()
    assert (times[moved] >= 0.55).all()
    assert (times[moved] <= 1.0).all()
    # Where in the recording the part is makes no difference to what is found.
    later = refine_within(MIX, found, [mask], (0.0, 1.5))
    inside = (times > 0.62) & (times < 0.88)
    np.testing.assert_allclose(
        part.activations[:, inside], later.activations[:, inside], rtol=0.05, atol=1e-4
    )
    for wrong in ([elsewhere], []):
        with pytest.raises(ParameterError, match="at least one hint"):
            refine_within(MIX, found, wrong, (0.0, 0.5))
    with pytest.raises(ParameterError, match="nothing from"):
        refine_within(MIX, found, [mask], (7.0, 8.0))


def test_a_long_recording_is_learned_from_a_few_of_its_frames(found, monkeypatch):
    """Half of them where hints are; what comes out is as good, in all frames."""
    fit, sizes = refinement.fit_constrained, []

    def counted(V, *arguments, **options):
        sizes.append((V.shape[1], options.get("fixed_templates", False)))
        return fit(V, *arguments, **options)

    monkeypatch.setattr(refinement, "fit_constrained", counted)
    monkeypatch.setattr(refinement, "_MOST_FRAMES", 12)
    better = refine(MIX, found, [HINT])
    n_frames = found.activations.shape[1]
    assert n_frames > 36
    assert sizes[0][0] <= 24
    assert [fixed for _, fixed in sizes] == [False, True]
    assert share(better, "b", HINT) > 0.9
    elsewhere = dataclasses.replace(HINT, start=1.1, end=1.4)
    assert share(better, "b", elsewhere) > 0.85
    assert better.activations.shape == found.activations.shape
    assert (np.diff(better.divergence) <= 0).all()


def test_what_is_not_in_a_source_leaves_it(found):
    hint = dataclasses.replace(HINT, source="a", belongs=False)
    assert share(refine(MIX, found, [hint]), "a", hint) < 0.1 < share(found, "a", hint)


def test_a_hint_may_consist_of_parts_and_one_that_holds_nothing_is_passed_over(found):
    """What is between the parts is not marked; all of it by parts is all of it."""
    halves = ((0.5, 0.75, 800.0, 960.0), (0.75, 1.0, 800.0, 960.0), (0.6, 0.6001, 801.0, 801.1))
    painted = dataclasses.replace(HINT, spans=halves)
    whole, parts = (refine(MIX, found, [hint]) for hint in (HINT, painted))
    assert np.array_equal(whole.activations, parts.activations)
    apart = dataclasses.replace(HINT, start=0.0, end=1.4, low=20, high=3000, spans=halves[:2])
    assert np.array_equal(refine(MIX, found, [apart]).activations, whole.activations)
    with pytest.raises(ParameterError, match="256 rectangles"):
        dataclasses.replace(HINT, spans=halves[:1] * 257)
    with pytest.raises(ParameterError, match="to a later one"):
        dataclasses.replace(HINT, spans=((1.0, 0.5, 1.0, 2.0),))
    with pytest.raises(ParameterError, match="no element"):
        refine(MIX, found, [dataclasses.replace(HINT, spans=halves[2:])])


def test_hints_may_overlap_and_the_firmer_one_holds(found):
    against = dataclasses.replace(HINT, belongs=False, strength=0.5)
    assert share(refine(MIX, found, [against, HINT]), "b", HINT) > 0.9


def test_the_start_stays_as_it_was_and_progress_is_told(found):
    before = found.templates.templates.copy(), found.activations.copy()
    told, states = [], []
    refine(
        MIX, found, [HINT], max_iter=4,
        progress=lambda stage, done: told.append((stage, done)),
        watch=lambda state: states.append(state) or len(states) == 3,
    )  # fmt: skip
    assert np.array_equal(before[0], found.templates.templates)
    assert np.array_equal(before[1], found.activations)
    assert told[-1] == ("refine", 0.75)
    assert [state.iteration for state in states] == [1, 2, 3]


@pytest.mark.parametrize(
    "change",
    [
        {"start": 2.0},
        {"start": -1.0},
        {"low": 960},
        {"high": np.inf},
        {"strength": 0},
        {"strength": 51},
    ],
)
def test_a_hint_that_makes_no_sense_is_refused(change):
    with pytest.raises(ParameterError):
        dataclasses.replace(HINT, **change)


@pytest.mark.parametrize(
    "hints",
    [
        [],
        [dataclasses.replace(HINT, source="c")],
        [dataclasses.replace(HINT, start=50, end=51)],
        [dataclasses.replace(HINT, low=801, high=801.5)],
    ],
)
def test_hints_about_nothing_are_refused(found, hints):
    with pytest.raises(ParameterError):
        refine(MIX, found, hints)


def test_what_cannot_be_refined_is_refused(found):
    one = found.regroup({"a": (0, 1)})
    other = dataclasses.replace(found, settings=dataclasses.replace(found.settings, beta=2.0))
    for model in (one, other, dataclasses.replace(found, activations=None)):
        with pytest.raises(ParameterError):
            refine(MIX, model, [dataclasses.replace(HINT, source="a")])
