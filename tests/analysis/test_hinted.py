"""Hints: which components are one source and which are not, by number and by moment."""

import json
import re

import numpy as np
import pytest
from conftest import RATE, TINY_OPTIONS

import audionmf
from audionmf.analysis import hinted
from audionmf.analysis.hinted import drawn_along
from audionmf.errors import ParameterError
from audionmf.rendering.grouping import Hints, beyond_doubt, parse_hints, place_hints

GROUPS = {"a": (0, 1, 2), "b": (3, 4), "c": (5,)}


def first(component, grouping):
    return next(iter(grouping))


def placed(same=(), apart=(), nearest=first, grouping=GROUPS):
    return place_hints(grouping, Hints(same, apart), nearest)


def test_of_the_same_the_first_stays_and_the_others_come():
    assert placed(same=[(3, 0, 5)]) == {"a": (1, 2), "b": (0, 3, 4, 5)}
    assert placed(same=[(0, 3)]) == {"a": (0, 1, 2, 3), "b": (4,), "c": (5,)}


def test_of_those_apart_the_first_stays_and_the_others_leave_for_the_nearest():
    asked = []

    def nearest(component, grouping):
        asked.append((component, dict(grouping)))
        return "c"

    assert placed(apart=[(0, 2)], nearest=nearest) == {"a": (0, 1), "b": (3, 4), "c": (2, 5)}
    assert asked == [(2, {"b": (3, 4), "c": (5,)})]


def test_what_is_apart_already_stays():
    assert placed(apart=[(0, 3)]) == GROUPS


def test_what_leaves_takes_along_what_is_said_to_be_with_it():
    assert placed(same=[(2, 1)], apart=[(0, 1)]) == {"a": (0,), "b": (1, 2, 3, 4), "c": (5,)}


def test_nobody_is_sent_to_one_that_it_is_apart_from():
    assert placed(apart=[(3, 2), (0, 2)]) == {"a": (0, 1), "b": (3, 4), "c": (2, 5)}


def test_a_source_that_was_left_takes_what_has_nowhere_else_to_go():
    left = placed(same=[(0, 2)], apart=[(0, 1)], grouping={"a": (0, 1), "b": (2,)})
    assert left == {"a": (0, 2), "b": (1,)}


def test_same_hints_go_on_from_each_other():
    assert placed(same=[(3, 0), (5, 3)]) == {"a": (1, 2), "b": (4,), "c": (0, 3, 5)}


@pytest.mark.parametrize(
    ("hints", "message"),
    [
        ({"same": [(0, 1), (1, 2)], "apart": [(2, 0)]}, "said to be the same and apart"),
        ({"apart": [(3, 2), (5, 2), (0, 2)]}, "no other source to go to"),
    ],
)
def test_hints_that_cannot_all_be_true_are_refused(hints, message):
    with pytest.raises(ParameterError, match=message):
        placed(**hints)


@pytest.mark.parametrize("text", ["3", "", "3,", "a,b", "3;7"])
def test_a_hint_of_another_form_is_refused(text):
    with pytest.raises(ParameterError, match="such as --same 3,7"):
        parse_hints([text], "same")


def test_hints_are_read_with_ranges():
    assert parse_hints(["3,7", "0,4-6"], "apart") == ((3, 7), (0, 4, 5, 6))


@pytest.fixture(scope="module")
def mixture():
    """Two tones that take turns with a burst of noise, three seconds."""
    rng = np.random.default_rng(0)
    seconds = np.arange(3 * RATE) / RATE
    low, high = (0.3 * np.sin(2 * np.pi * hertz * seconds) for hertz in (220, 1760))
    noise = rng.normal(0, 0.1, len(seconds))
    turn = (np.arange(len(seconds)) // (RATE // 2)) % 3
    samples = np.where(turn == 0, low, np.where(turn == 1, high, noise))
    return audionmf.Audio(samples.reshape(1, -1).astype(np.float32), RATE)


def test_hints_leave_no_doubt_but_of_those_that_had_several_to_go_to():
    hints = Hints(same=[(0, 3), (2, 6)], apart=[(4, 2)])
    three = {"a": (0, 1, 3), "b": (4,), "c": (2, 5, 6)}
    assert hints.named() == {0, 2, 3, 4, 6}
    assert beyond_doubt(three, hints) == {0, 3, 4}
    assert beyond_doubt({"a": (0, 1, 3), "b": (2, 4, 6)}, hints) == hints.named()


OWNER = np.array([0, 0, 1, 1, 0, 0, 0])
LOUD = np.array([9.0, 3, 9, 3, 4, 2, 1])


def alike(*groups, odds=4.0):
    """Log odds: within groups for one source, else against."""
    found = np.full((len(OWNER), len(OWNER)), -odds)
    for group in groups:
        found[np.ix_(group, group)] = odds
    return found


def drawn(odds, moved=(4,), told=(2, 4), named=(2, 4), energies=LOUD, shares=None):
    """Component 4 was told to be of the source of 2."""
    owner = OWNER.copy()
    owner[4] = 1
    weights = np.sqrt(energies) / np.sqrt(energies).sum()
    likely = drawn_along(
        owner, odds, weights, energies, moved, told=told, named=named, shares=shares
    )
    return likely.argmax(axis=0).tolist()


def test_what_sounds_like_what_was_moved_goes_along():
    assert drawn(alike([0, 1], [2, 3], [4, 5, 6])) == [0, 0, 1, 1, 1, 1, 1]
    assert drawn(alike([0, 1, 5, 6], [2, 3, 4])) == [0, 0, 1, 1, 1, 0, 0]


def test_nothing_goes_along_where_odds_are_weak():
    assert drawn(alike([0, 1], [2, 3], [4, 5, 6], odds=0.5)) == [0, 0, 1, 1, 1, 0, 0]


def test_what_is_told_counts_most():
    odds = alike([0, 1], [2, 3], [4, 5, 6], odds=2.5)
    assert drawn(odds)[5:] == [1, 1]
    assert drawn(odds, told=())[5:] == [0, 0]


def test_the_louder_stay_more_firmly_for_they_would_have_been_named():
    odds = alike([0, 1], [2, 3], [4, 5, 6], odds=2.4)
    loud = np.array([900.0, 3, 9, 3, 4, 2, 2])
    assert drawn(odds, energies=loud)[6] == 1
    loud[6] = 400
    assert drawn(odds, energies=loud)[6] == 0


def test_what_was_in_doubt_before_goes_along_first():
    odds = alike([0, 1], [2, 3], [4, 5, 6], odds=1.2)
    sure = np.zeros((2, 7), np.float32)
    sure[OWNER, range(7)] = 1
    doubted = sure.copy()
    doubted[:, 6] = 0.4, 0.6
    assert drawn(odds, told=(), shares=sure)[5:] == [0, 0]
    assert drawn(odds, told=(), shares=doubted)[5:] == [0, 1]


def test_the_loudest_of_each_source_and_those_that_are_named_stay():
    everyone = alike([0, 1, 2, 3, 4, 5, 6], odds=9.0)
    assert drawn(everyone)[0] == 0
    assert drawn(alike([0, 1], [2, 3], [4, 5, 6]), named=(2, 4, 5))[5] == 0


def test_of_a_recording_what_sounds_alike_goes_along_and_is_told(mixture, monkeypatch):
    found = audionmf.decompose(mixture, 5, n_fft=512, hop_length=128, max_iter=10)
    found = found.regroup({"x": [0, 1, 2], "y": [3, 4]})
    kept = found.activated()
    loud = kept.activations.sum(axis=1) * kept.templates.templates.sum(axis=0)
    first = max((0, 1, 2), key=lambda k: loud[k])
    named, along = (k for k in (0, 1, 2) if k != first)
    odds = np.full((5, 5), -6.0)
    for k, other in ((named, along), (3, along), (3, 4)):
        odds[k, other] = odds[other, k] = 9.0
    monkeypatch.setattr(hinted, "odds_by_cues", lambda sound, cues: odds)
    hinted_to = found.regroup(same=[(3, named)])
    assert hinted_to.grouping == {"x": (first,), "y": tuple(sorted((named, along, 3, 4)))}
    assert hinted_to.remarks[-2:] == (
        f"by the hints, component {named} went to 'y'",
        f"because of how they sound, component {along} went to 'y' as well",
    )
    by_hand = found.regroup({"x": [0, 1, 2], "y": [3, 4]}, same=[(3, named)])
    assert along in by_hand.grouping["x"]
    assert along in found.regroup(apart=[(first, 3)]).grouping["x"]  # nothing was wrong


@pytest.fixture(scope="module")
def parts(mixture):
    return audionmf.decompose(mixture, 3, n_fft=512, hop_length=128, max_iter=30)


def test_components_are_grouped_by_ear_and_then_as_said(parts):
    by_ear = parts.regroup(n_sources=2)
    assert len(by_ear.grouping) == 2
    pair, (lone,) = sorted(by_ear.grouping.values(), key=len, reverse=True)
    moved = parts.regroup(n_sources=2, same=[(lone, pair[0])])
    assert {frozenset(g) for g in moved.grouping.values()} == {
        frozenset((lone, pair[0])), frozenset((pair[1],)),
    }  # fmt: skip
    assert any(f"component {pair[0]} went to" in line for line in moved.remarks)
    parted = parts.regroup(n_sources=2, apart=[pair])
    assert all(not set(pair) <= set(group) for group in parted.grouping.values())


def test_groups_that_there_are_stay_but_for_what_is_said(parts):
    grouped = parts.regroup({"x": [0], "y": [1]})
    assert grouped.regroup(same=[(0, 2)]).grouping == {"x": (0, 2), "y": (1,)}
    assert parts.regroup({"x": [0], "y": [1]}, same=[(1, 2)]).grouping == {"x": (0,), "y": (1, 2)}
    assert "had to be moved" in grouped.regroup(apart=[(0, 1)]).remarks[-1]


def test_stems_of_hinted_groups_sum_to_the_mixture(parts, mixture):
    stems = parts.regroup(n_sources=2, apart=[(0, 1)]).render().sources
    np.testing.assert_allclose(sum(stems.values()), mixture.samples, atol=1e-6)


def test_a_stereo_model_knows_where_its_sources_are_after_a_hint(mixture):
    wide = audionmf.Audio(np.concatenate([mixture.samples, 0.3 * mixture.samples]), RATE)
    parts = audionmf.decompose(wide, 3, n_fft=512, hop_length=128, max_iter=5)
    assert parts.regroup(n_sources=2, apart=[(0, 1)]).covariances.shape[0] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "say how"),
        ({"same": [(0,)]}, "two different components"),
        ({"same": [(0, 0)]}, "two different components"),
        ({"apart": [(0, 9)]}, "names component 9; there are 0 to 2"),
        ({"same": 3}, "hints are lists of components"),
        ({"same": [(0.5, 1)]}, "hints are lists of components"),
        ({"n_sources": 4}, "cannot be made of 3 components"),
        ({"groups": {"a": [0]}, "n_sources": 2}, "leave n_sources out"),
    ],
)
def test_what_cannot_be_regrouped_is_told(parts, options, message):
    with pytest.raises(ParameterError, match=message):
        parts.regroup(**options)


BLIND = {"n_fft": 512, "hop_length": 128, "max_iter": 30, "n_components": 3, "n_sources": 2}


def test_moments_name_what_is_loudest_there(mixture):
    found = audionmf.separate(mixture, **BLIND).decomposition
    at = [0.25, 0.75, 1.25]  # low, high, noise
    with_ = audionmf.separate(mixture, same=[(at[2], at[0])], apart=[(at[2], at[1])], **BLIND)
    groups = with_.decomposition.grouping
    assert len(found.grouping) == len(groups) == 2
    (told,) = (line for line in with_.decomposition.remarks if line.startswith("heard as loudest"))
    low, high, noise = map(int, re.findall(r"component (\d+) at", told))
    owner = {k: name for name, group in groups.items() for k in group}
    assert len({low, high, noise}) == 3
    assert owner[low] == owner[noise] != owner[high]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"same": [(0.1, 9.0)]}, "names 9 s; the recording is 3 s long"),
        ({"same": [(0.2, 0.3)]}, "the loudest is the same more than once"),
        ({"same": (0.1, 0.7)}, "each of two different moments"),
        ({"apart": [(0.1, -1)]}, "each of two different moments"),
        ({"apart": [(0.1, 0.1)]}, "each of two different moments"),
        ({"apart": [("0", "1")]}, "each of two different moments"),
    ],
)
def test_moments_that_make_no_hint_are_refused(mixture, options, message):
    with pytest.raises(ParameterError, match=message):
        audionmf.separate(mixture, **options, **BLIND)


def test_silence_is_no_hint():
    rng, samples = np.random.default_rng(0), np.zeros((1, 2 * RATE), np.float32)
    samples[0, :RATE] = rng.normal(0, 0.1, RATE)
    with pytest.raises(ParameterError, match=r"nothing sounds at 1\.8 s"):
        audionmf.separate(samples, sample_rate=RATE, same=[(0.2, 1.8)], **BLIND)


def test_moments_go_with_no_other_knowledge(mixture):
    with pytest.raises(ParameterError, match="for a blind separation"):
        audionmf.separate(mixture, lead=True, same=[(0.1, 0.7)])


def test_the_shell_takes_both_and_the_manifests_keep_them(run, mixture, tmp_path):
    mix = tmp_path / "mix.wav"
    audionmf.write(mix, mixture)
    options = ("-n", 2, "--n-components", 3, "--apart", "0:00.25,0.75", "--names", "plain")
    code, out, err = run("separate", mix, "-o", tmp_path / "s", *options, *TINY_OPTIONS)
    assert code == 0, err
    assert "heard as loudest: component" in out
    manifest = tmp_path / "s" / "mix" / "manifest.json"
    assert json.loads(manifest.read_text())["job"]["apart"] == [[0.25, 0.75]]
    stems = {p.name: p.read_bytes() for p in manifest.parent.glob("*.wav")}
    assert run("rerun", manifest, "-o", tmp_path / "again")[0] == 0
    assert {p.name: p.read_bytes() for p in (tmp_path / "again" / "mix").glob("*.wav")} == stems

    parts = ("--n-components", 3, "-o", tmp_path / "parts")
    assert run("decompose", mix, *parts, *TINY_OPTIONS)[0] == 0
    model = tmp_path / "parts" / "mix" / "model.npz"
    code, out, err = run("regroup", model, "-n", 2, "--apart", "0,1", "-o", tmp_path / "r")
    assert code == 0, err
    described = json.loads(run("info", tmp_path / "r" / "mix" / "manifest.json", "--json")[1])
    assert described["apart"] == [[0, 1]]
    assert sorted(k for group in described["groups"].values() for k in group) == [0, 1, 2]
    code, _, err = run("regroup", model, "-o", tmp_path / "r")
    assert code == 2
    assert "say how" in err
    code, _, err = run("separate", mix, mix, "--same", "1,2", "-o", tmp_path / "s")
    assert code == 2
