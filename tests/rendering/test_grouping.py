import numpy as np
import pytest

from audionmf import STFT, ParameterError, Templates
from audionmf.analysis.timbre_groups import by_timbre, timbre_features
from audionmf.rendering.grouping import by_hand, by_label, parse_groups
from audionmf.sources.known import REST, source_name

RATE = 16_000
TRANSFORM = STFT(1024, 256)


def bank(W, labels=None):
    W = np.asarray(W, np.float32)
    return Templates(W, labels or tuple(str(k) for k in range(W.shape[1])), TRANSFORM, RATE)


def dark(pitch):
    """Return a tone of a few low partials that fall off fast."""
    return harmonics(pitch, lambda hz: np.exp(-hz / 300))


def bright(pitch):
    """Return a tone whose loudest partials lie around 4 kHz."""
    return harmonics(pitch, lambda hz: np.exp(-(((hz - 4000) / 1000) ** 2)))


def harmonics(pitch, envelope):
    frequencies = TRANSFORM.frequencies(RATE)[:, None]
    partials = np.arange(1, int(RATE / 2 / pitch)) * pitch
    peaks = np.exp(-(((frequencies - partials) / 12) ** 2))
    return (peaks * envelope(partials)).sum(axis=1) + 1e-6


PITCHES = (110, 147, 196, 220)


@pytest.mark.parametrize("seed", range(5))
def test_two_timbres_become_two_sources_whatever_their_pitches(seed):
    tones = [(dark, p) for p in PITCHES] + [(bright, p) for p in PITCHES]
    order = np.random.default_rng(seed).permutation(len(tones))
    levels = 10.0 ** np.random.default_rng(seed).uniform(-3, 3, len(tones))
    W = np.stack([tones[i][0](tones[i][1]) * levels[i] for i in order], axis=1)
    grouping = by_timbre(bank(W), 2)
    assert list(grouping) == ["source1", "source2"]
    expected = {
        frozenset(k for k, i in enumerate(order) if (i < len(PITCHES)) == low)
        for low in (True, False)
    }
    assert {frozenset(group) for group in grouping.values()} == expected
    assert grouping["source1"][0] == 0


def test_grouping_by_timbre_is_the_same_each_time():
    W = np.random.default_rng(0).random((TRANSFORM.n_bins, 12))
    assert by_timbre(bank(W), 4) == by_timbre(bank(W.copy()), 4)


@pytest.mark.parametrize("n_components", [1, 2, 5, 9])
def test_every_number_of_sources_can_be_had_and_every_component_is_in_one(n_components):
    W = np.random.default_rng(1).random((TRANSFORM.n_bins, n_components))
    for n_sources in range(1, n_components + 1):
        assert_partition(by_timbre(bank(W), n_sources), n_sources, n_components)


def test_as_many_sources_as_components_are_in_the_order_of_the_components():
    W = np.random.default_rng(1).random((TRANSFORM.n_bins, 5))
    assert by_timbre(bank(W), 5) == {f"source{k + 1}": (k,) for k in range(5)}


@pytest.mark.parametrize("spectrum", [dark(110), np.zeros(TRANSFORM.n_bins), np.ones(513)])
def test_identical_templates_are_still_shared_out(spectrum):
    W = np.repeat(spectrum[:, None], 6, axis=1)
    for n_sources in range(1, 7):
        assert_partition(by_timbre(bank(W), n_sources), n_sources, 6)


def test_silent_templates_among_others_do_no_harm():
    W = np.stack([dark(110), np.zeros(513), bright(110), np.zeros(513), dark(147)], axis=1)
    features = timbre_features(bank(W))
    assert np.isfinite(features).all()
    for n_sources in range(1, 6):
        assert_partition(by_timbre(bank(W), n_sources), n_sources, 5)


@pytest.mark.parametrize(("n_fft", "rate"), [(16, 1000), (64, 1000), (64, 192_000), (255, 44_100)])
def test_short_windows_have_features_too(n_fft, rate):
    stft = STFT(n_fft, n_fft // 4)
    W = np.random.default_rng(0).random((stft.n_bins, 4)).astype(np.float32)
    templates = Templates(W, tuple("abcd"), stft, rate)
    features = timbre_features(templates)
    assert features.shape[0] == 4
    assert np.isfinite(features).all()
    assert_partition(by_timbre(templates, 2), 2, 4)


def test_features_describe_the_envelope_and_not_the_level():
    features = timbre_features(bank(np.stack([dark(110), 1e-5 * dark(110), bright(110)], axis=1)))
    assert features.shape == (3, 12)
    np.testing.assert_allclose(features[0], features[1], atol=1e-3)
    assert np.abs(features[0] - features[2]).max() > 10


@pytest.mark.parametrize("n_sources", [0, -1, 4])
def test_a_number_of_sources_that_cannot_be_made_is_refused(n_sources):
    W = np.random.default_rng(0).random((TRANSFORM.n_bins, 3))
    with pytest.raises(ParameterError, match=rf"{n_sources} sources.*3 components"):
        by_timbre(bank(W), n_sources)


def test_labels_become_sources_in_their_order():
    W = np.ones((TRANSFORM.n_bins, 5))
    grouping = by_label(bank(W, ("violin", "piano", "violin", "bass", "piano")))
    assert list(grouping.items()) == [("violin", (0, 2)), ("piano", (1, 4)), ("bass", (3,))]


def test_groups_by_hand_keep_their_order_and_the_rest_is_named():
    grouping = by_hand({"keys": [4, 1], "bass": (0,)}, 6)
    assert list(grouping.items()) == [("keys", (4, 1)), ("bass", (0,)), (REST, (2, 3, 5))]


def test_groups_by_hand_that_hold_everything_leave_no_rest():
    assert by_hand({"a": [0, 2], "b": [1]}, 3) == {"a": (0, 2), "b": (1,)}
    assert by_hand({REST: [0, 1]}, 2) == {REST: (0, 1)}
    assert by_hand({}, 2) == {REST: (0, 1)}


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"a": [0, 3]}, "'a' names component 3; there are 0 to 2"),
        ({"a": [-1]}, "component -1"),
        ({"a": [0], "b": [1, 0]}, "component 0 is in the groups 'a' and 'b'"),
        ({"a": [0, 0]}, "component 0 is in the groups 'a' and 'a'"),
        ({"a": []}, "'a' needs a name and at least one component"),
        ({"": [0]}, "'' needs a name"),
        ({REST: [0]}, f"name '{REST}' is kept"),
    ],
)
def test_groups_by_hand_that_make_no_sense_are_refused(groups, words):
    with pytest.raises(ParameterError, match=words):
        by_hand(groups, 3)


@pytest.mark.parametrize(
    ("texts", "groups"),
    [
        ([], {}),
        (["bass=0,3,7"], {"bass": (0, 3, 7)}),
        (["bass=0-3,7"], {"bass": (0, 1, 2, 3, 7)}),
        (["bass= 1 , 2 "], {"bass": (1, 2)}),
        (["keys=5-5", "bass=1"], {"keys": (5,), "bass": (1,)}),
        (["left hand=2"], {"left hand": (2,)}),
    ],
)
def test_groups_are_read_from_text(texts, groups):
    assert parse_groups(texts) == groups


@pytest.mark.parametrize(
    "text",
    ["bass", "bass=", "=1", "", "bass=a", "bass=1,,2", "bass=3-1", "bass=-1", "a=b=1", "bass=1.5"],
)
def test_text_that_is_no_group_is_refused_with_the_form(text):
    with pytest.raises(ParameterError) as caught:
        parse_groups([text])
    assert "NAME=0,3,7" in str(caught.value)
    assert repr(text) in str(caught.value)


def test_a_group_that_comes_twice_is_refused():
    with pytest.raises(ParameterError, match="'bass' is given twice"):
        parse_groups(["bass=1", "bass=2"])


def test_sources_are_counted_from_one():
    assert [source_name(i) for i in range(2)] == ["source1", "source2"]


def assert_partition(grouping, n_sources, n_components):
    assert list(grouping) == [source_name(i) for i in range(n_sources)]
    members = [k for group in grouping.values() for k in group]
    assert sorted(members) == list(range(n_components))
    assert all(list(group) == sorted(group) for group in grouping.values())
    firsts = [group[0] for group in grouping.values()]
    assert firsts == sorted(firsts)
