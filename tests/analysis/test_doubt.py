"""Shares of components of which it is in doubt whose they are."""

import numpy as np
import pytest

from audionmf.analysis.doubt import doubt_in_words, held_shares, shares_in_doubt

GROUPS = [(0, 1, 2), (3, 4, 5, 6)]
WEIGHTS = np.full(7, 1 / 7)


def odds_of(*groups, odds=4.0, weak=()):
    """Log odds: within groups for one source, else against; of the weak ones they say nothing."""
    found = np.full((7, 7), -odds)
    for group in groups:
        found[np.ix_(group, group)] = odds
    found[list(weak)] = found[:, list(weak)] = 0
    return found


def test_what_is_sure_is_not_shared():
    shares = shares_in_doubt(odds_of(*GROUPS), WEIGHTS, GROUPS)
    assert shares.dtype == np.float32
    assert np.array_equal(shares, [[1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 1]])


def test_what_sounds_like_neither_or_both_is_shared():
    shares = shares_in_doubt(odds_of(*GROUPS, weak=[6]), WEIGHTS, GROUPS)
    assert np.array_equal(shares[:, :6], [[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])
    assert 0.1 < shares[0, 6] < 0.9
    assert shares.sum(axis=0) == pytest.approx(1)


def test_what_sounds_like_others_comes_to_them():
    shares = shares_in_doubt(odds_of((0, 1, 2, 6), (3, 4, 5)), WEIGHTS, GROUPS)
    assert shares[0, 6] > 0.5


def test_the_same_is_found_each_time_whatever_the_order_of_groups():
    odds = odds_of(*GROUPS, weak=[2, 6])
    first = shares_in_doubt(odds, WEIGHTS, GROUPS)
    assert np.array_equal(shares_in_doubt(odds, WEIGHTS, GROUPS), first)
    assert np.array_equal(shares_in_doubt(odds, WEIGHTS, GROUPS[::-1]), first[::-1])


def test_one_source_or_very_many_sources_or_components_have_no_shares():
    assert shares_in_doubt(odds_of(), WEIGHTS, [(k,) for k in range(7)]) is None
    assert shares_in_doubt(odds_of(range(7)), WEIGHTS, [tuple(range(7))]) is None
    many = np.full(129, 1 / 129)
    groups = [tuple(range(64)), tuple(range(64, 129))]
    assert shares_in_doubt(np.zeros((129, 129)), many, groups) is None


def test_every_source_has_most_of_some_component_or_groups_stay():
    assert held_shares(np.array([[0.6, 0.7], [0.4, 0.3]])) is None
    assert held_shares(np.array([[0.995, 0.3], [0.005, 0.7]])).tolist() == [
        [1, pytest.approx(0.3)], [0, pytest.approx(0.7)],
    ]  # fmt: skip


def test_it_is_said_how_many_are_in_doubt():
    shares = np.float32([[1, 0.8, 0.5, 0.05], [0, 0.2, 0.5, 0.95]])
    assert doubt_in_words(shares) == [
        "2 of 4 components are shared, as it is in doubt whose they are"
    ]
    assert doubt_in_words(np.eye(2, dtype=np.float32)) == doubt_in_words(None) == []
