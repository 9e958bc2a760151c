"""Groups of notes that are asked whose they are, where the others are nothing but the rest."""

import numpy as np
import pytest

from audionmf.analysis.note_groups import likely_by_groups

GROUPS = np.repeat([0, 1], 9)
WEIGHTS = np.full(18, 1 / 18)


def odds_of(groups):
    return np.where(groups[:, None] == groups, 4.0, -4.0)


def evidence(*of_groups, noise=0.0):
    rng = np.random.default_rng(1)
    return np.array(of_groups)[GROUPS] + noise * rng.standard_normal(len(GROUPS))


def test_a_note_that_seems_another_s_is_where_its_group_is():
    said = evidence(3.0, -3.0)
    said[0], said[9] = -2.0, 2.0
    likely = likely_by_groups(odds_of(GROUPS), WEIGHTS, said)
    assert likely[0] > 0.7
    assert likely[9] < 0.3
    np.testing.assert_array_equal(likely > 0.5, GROUPS == 0)


@pytest.mark.parametrize("all_say", [-6.0, 6.0])
def test_the_source_has_something_and_not_everything(all_say):
    """However little speaks for it, or for the rest."""
    likely = likely_by_groups(odds_of(GROUPS), WEIGHTS, all_say + evidence(1.0, -1.0))
    assert likely[GROUPS == 0].mean() > 0.3
    assert likely[GROUPS == 1].mean() < 0.7
    assert likely.min() > 0
    assert likely.max() < 1


def test_it_is_the_same_each_time():
    said = evidence(1.0, -1.0, noise=1.0)
    first, again = (likely_by_groups(odds_of(GROUPS), WEIGHTS, said) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_where_there_are_three_groups_they_are_not_asked():
    three = np.repeat([0, 1, 2], 6)
    assert likely_by_groups(odds_of(three), WEIGHTS, np.array([2.0, -2.0, -2.0])[three]) is None


def test_fewer_notes_than_groups_are_asked_one_by_one():
    likely = likely_by_groups(np.diag([4.0, 4.0]), np.array([0.5, 0.5]), np.array([2.0, -2.0]))
    assert likely[0] > 0.7 > 0.3 > likely[1]
