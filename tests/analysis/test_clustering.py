"""Ward's clustering: against SciPy, and how many clusters there are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from audionmf.analysis.clustering import GroupingChoice, join_clusters


def partition(groups):
    return {frozenset(group) for group in groups}


def blobs(centres, n_each=8, spread=0.1, seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [rng.normal(c, spread, (n_each, len(c))) for c in np.array(centres, float)]
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 25), st.integers(1, 4), st.integers(0, 99))
def test_with_equal_weights_it_is_the_method_of_scipy(n_items, n_features, seed):
    features = np.random.default_rng(seed).normal(size=(n_items, n_features))
    tree = join_clusters(features, np.ones(n_items))
    joined = linkage(features, "ward")
    np.testing.assert_allclose(tree.costs, joined[:, 2] ** 2 / 2, rtol=1e-6, atol=1e-9)
    for n_clusters in range(1, n_items + 1):
        theirs = fcluster(joined, n_clusters, "maxclust")
        expected = {frozenset(np.flatnonzero(theirs == c).tolist()) for c in set(theirs)}
        assert partition(tree.cut(n_clusters)) == expected


def test_a_weight_counts_like_copies():
    features = np.array([[0.0], [1.0], [2.6], [3.1]])
    tree = join_clusters(features, np.array([3.0, 1.0, 1.0, 2.0]))
    copies = np.repeat(features, [3, 1, 1, 2], axis=0)
    np.testing.assert_allclose(tree.costs, join_clusters(copies, np.ones(7)).costs[-3:], rtol=1e-9)


def test_clusters_come_in_the_order_of_their_first_items():
    features = np.array([[5.0], [0.0], [5.1], [0.1], [9.0]])
    assert join_clusters(features, np.ones(5)).cut(3) == [(0, 2), (1, 3), (4,)]


@pytest.mark.parametrize("n_blobs", [2, 3, 4])
def test_the_number_of_plain_clusters_is_found(n_blobs):
    corners = [(0, 0), (9, 0), (0, 9), (9, 9)][:n_blobs]
    choice = join_clusters(blobs(corners), np.ones(8 * n_blobs)).choose(0.085)
    assert choice.n_sources == n_blobs
    assert choice.runner_up in (n_blobs - 1, n_blobs + 1)
    assert f"{n_blobs} sources" in choice.to_text()
    assert f"sources seem to play, perhaps {choice.runner_up}: " in choice.to_text()


def test_the_choice_reads_as_people_speak():
    choice = GroupingChoice(2, 3, (0.4, 0.061), 0.12)
    assert choice.to_text() == (
        "2 sources seem to play, perhaps 3: a second explains 40% of how the components differ, "
        "a third 6%; each needs 12%"
    )
    assert GroupingChoice(2, 2, (0.3,), 0.12).to_text().startswith("2 sources seem to play: a sec")
    alike = join_clusters(np.zeros((5, 2)), np.ones(5)).choose(0.085).to_text()
    assert alike == "1 source seems to play: all components are alike"
    assert GroupingChoice(1, 2, (0.02,), 0.085).to_text().startswith("1 source seems to play, per")


def test_one_item_or_items_that_are_alike_are_one_source():
    assert join_clusters(np.zeros((1, 2)), np.ones(1)).choose(0.085).n_sources == 1
    assert join_clusters(np.zeros((5, 2)), np.ones(5)).choose(0.085).n_sources == 1
