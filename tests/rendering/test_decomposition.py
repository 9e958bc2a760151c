"""Models on disk: they come back the same, and what is wrong with one is said."""

import dataclasses
import json

import numpy as np
import pytest
from conftest import RATE, sound, two_notes

from audionmf import nmf
from audionmf.errors import ParameterError, TemplateError, TemplateMismatchError
from audionmf.io.archive import write_archive
from audionmf.io.audio import AudioFile
from audionmf.rendering import decomposition as decomposing
from audionmf.rendering.decomposition import MODEL_KIND, Decomposition, Mixture
from audionmf.rendering.voters import Voters
from audionmf.settings import Settings
from audionmf.sources.templates import Templates
from audionmf.spectra import spatial
from audionmf.spectra.bands import Bands
from audionmf.spectra.neighbours import Neighbours
from audionmf.spectra.stft import STFT

SMALL = STFT(16, 4)
RNG = np.random.default_rng(0)
W = RNG.random((9, 3)).astype(np.float32)
H = RNG.random((3, SMALL.n_frames(100))).astype(np.float32)
GROUPING = {"a": (2, 0), "b / ä": (1,)}
PENALTIES = np.float32([0, 0.05, 3])
RIGHT = np.array([[0.5, 0.3 - 0.4j], [0.3 + 0.4j, 1.5]], np.complex64)
COVARIANCES = np.stack([np.tile(RIGHT, (9, 1, 1)), np.tile(RIGHT.conj(), (9, 1, 1))])
CONTEXT = RNG.random((Neighbours.of(SMALL, RATE).n_rows, 3)).astype(np.float32)
VOTERS = RNG.random((9, 5)).astype(np.float32)
VOTES = np.full((2, 5), 0.5, np.float32)
LEANINGS = (RNG.random((2, 5)) - 0.5).astype(np.float32)
SHARES = np.float32([[1, 0.25, 0.75], [0, 0.75, 0.25]])
LATER = Voters(VOTERS[:, :3], VOTES[:, :3])
EVIDENCE = np.float32([[0.25, 1], [0.5, 3]])
EXEMPLARS = {
    "context": CONTEXT, "voters": Voters(VOTERS, VOTES, LEANINGS, LATER, EVIDENCE), "banded": True,
}  # fmt: skip
ADAPTED = {"penalties": PENALTIES, "banded": True, "covariances": COVARIANCES}


def model(**changes):
    good = {
        "templates": Templates(W, ("x", "y", "z"), SMALL, RATE),
        "grouping": GROUPING,
        "settings": Settings(n_fft=16, beta=0.5, seed=7),
        "mixture": Mixture("/music/mix.wav", "0" * 64, 2, 100),
        "divergence": np.array([3.0, 2.0, 1.5]),
        "reason": "max_iter",
        "activations": H,
    }
    return Decomposition(**(good | changes))


def saved(path, arrays=None, **changes):
    """Write a model by hand, with some of its metadata changed or, with ``...``, left out."""
    good = model().save(path)
    with np.load(good, allow_pickle=False) as file:
        metadata = json.loads(str(file["metadata"]))
    fields = {k: v for k, v in (metadata | changes).items() if k not in ("format", "version")}
    kept = {key: value for key, value in fields.items() if value is not ...}
    return write_archive(path, MODEL_KIND, arrays or {"templates": W, "activations": H}, kept)


def assert_same(a, b):
    assert np.array_equal(a.templates.templates, b.templates.templates)
    assert a.templates.labels == b.templates.labels
    assert (a.templates.stft, a.templates.sample_rate) == (
        b.templates.stft,
        b.templates.sample_rate,
    )
    assert list(a.grouping.items()) == list(b.grouping.items())
    assert (a.settings, a.mixture, a.reason) == (b.settings, b.mixture, b.reason)
    assert np.array_equal(a.divergence, b.divergence)
    assert a.banded is b.banded
    for name in ("activations", "penalties", "covariances"):
        first, second = getattr(a, name), getattr(b, name)
        assert (first is None) == (second is None)
        if first is not None:
            assert first.dtype == second.dtype
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("activations", [H, None])
@pytest.mark.parametrize("divergence", [[3.0, 1e-300], []])
def test_a_saved_model_loads_the_same(tmp_path, activations, divergence):
    first = model(activations=activations, divergence=np.array(divergence))
    loaded = Decomposition.load(first.save(tmp_path / "m.npz"))
    assert_same(loaded, first)
    assert loaded.templates.templates.dtype == np.float32


@pytest.mark.parametrize(
    "names", [(), ("penalties",), ("banded",), ("covariances",), tuple(ADAPTED)], ids=str
)
@pytest.mark.parametrize("activations", [H, None])
def test_what_was_adapted_loads_the_same(tmp_path, names, activations):
    first = model(activations=activations, **{name: ADAPTED[name] for name in names})
    assert first.banded is ("banded" in names)
    assert_same(Decomposition.load(first.save(tmp_path / "m.npz")), first)


def test_how_much_neighbours_count_is_kept_and_was_one_in_older_files(tmp_path):
    weighed = model(**EXEMPLARS, activations=None, neighbour_weight=0.25)
    loaded = Decomposition.load(weighed.save(tmp_path / "m.npz"))
    assert loaded.neighbour_weight == 0.25
    V = RNG.random((9, 20)).astype(np.float32)
    found, as_much = (d.activate(V, 1, 0, (4, 4)) for d in (loaded, model(**EXEMPLARS)))
    np.testing.assert_array_equal(found, weighed.activate(V, 1, 0, (4, 4)))
    assert not np.allclose(found, as_much, rtol=0.01)
    older = saved(tmp_path / "older.npz", neighbour_weight=...)
    assert Decomposition.load(older).neighbour_weight == 1


@pytest.mark.parametrize("weight", [0, -1, 1.5, float("nan"), "1", True, None])
def test_a_weight_of_neighbours_that_makes_no_sense_is_refused(tmp_path, weight):
    with pytest.raises(TemplateError, match="weight of neighbours"):
        Decomposition.load(saved(tmp_path / "m.npz", neighbour_weight=weight))


def test_a_source_without_components_survives(tmp_path):
    first = model(grouping={"a": (), "b": (2, 0, 1), "c": ()}, activations=None)
    loaded = Decomposition.load(first.save(tmp_path / "m.npz"))
    assert list(loaded.grouping.items()) == [("a", ()), ("b", (2, 0, 1)), ("c", ())]
    models = loaded.models(H)
    assert models.shape == (3, 9, H.shape[1])
    assert not models[[0, 2]].any()


def test_banded_activations_are_found_on_the_bands_and_penalties_weigh():
    rate = 400_000  # where the bands above 5.4 kHz hold several of these bins
    stft = STFT(2048, 512)
    rng = np.random.default_rng(0)
    W, V = (rng.random((1025, n)).astype(np.float32) for n in (3, 5))
    bins = model(
        templates=Templates(W, ("x", "y", "z"), stft, rate), settings=Settings(), activations=None
    )
    banded, penalised = (
        dataclasses.replace(bins, banded=True, **more)
        for more in ({}, {"penalties": np.float32([0, 0, 400])})
    )
    bands = Bands.of(stft, rate)
    assert len(bands.edges) < 500
    np.testing.assert_array_equal(
        banded.activate(V, 1), nmf.activate(bands.pool(V), bands.pool(W), n_iter=40)
    )
    np.testing.assert_array_equal(bins.activate(V, 1), nmf.activate(V, W, n_iter=40))
    assert (penalised.activate(V, 1)[2] < 0.5 * banded.activate(V, 1)[2]).all()


def test_saving_again_gives_the_same_bytes(tmp_path):
    first = model(**ADAPTED).save(tmp_path / "a.npz").read_bytes()
    assert model(**ADAPTED).save(tmp_path / "b.npz").read_bytes() == first
    assert Decomposition.load(tmp_path / "a.npz").save(tmp_path / "c.npz").read_bytes() == first


def test_the_group_named_rest_survives(tmp_path):
    regrouped = model().regroup({"keys": (1,)})
    assert regrouped.grouping == {"keys": (1,), "rest": (0, 2)}
    assert Decomposition.load(regrouped.save(tmp_path / "m.npz")).grouping == regrouped.grouping


def test_regrouping_leaves_the_model_as_it_was():
    first = model()
    regrouped = first.regroup({"all": (0, 1, 2)})
    assert first.grouping == GROUPING
    assert regrouped.grouping == {"all": (0, 1, 2)}
    assert regrouped.activations is first.activations
    assert first.n_components == 3


def test_regrouping_forgets_the_places_of_the_sources_and_nothing_else():
    regrouped = model(**ADAPTED).regroup({"all": (0, 1, 2)})
    assert regrouped.covariances is None
    assert regrouped.banded
    assert regrouped.penalties is PENALTIES


@pytest.mark.parametrize("groups", [{"a": (3,)}, {"a": (-1,)}, {"a": (0,), "b": (0,)}, {"": (0,)}])
def test_groups_that_do_not_fit_are_refused(groups):
    with pytest.raises(ParameterError):
        model().regroup(groups)


@pytest.mark.parametrize("shape", [(2, H.shape[1]), (3, H.shape[1] - 1), (3, 0)])
def test_activations_that_do_not_fit_are_refused(shape):
    with pytest.raises(TemplateError, match="do not fit"):
        model(activations=np.zeros(shape, np.float32))


@pytest.mark.parametrize("shape", [(2,), (4,), (0,), (3, 1), ()])
def test_penalties_that_do_not_fit_are_refused(shape):
    with pytest.raises(TemplateError, match=r"penalties of shape .* do not fit"):
        model(penalties=np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    "shape", [(1, 9, 2, 2), (3, 9, 2, 2), (2, 8, 2, 2), (2, 9, 4), (2, 9, 1, 1)]
)
def test_covariances_of_another_shape_are_refused(shape):
    with pytest.raises(TemplateError, match=r"covariances of shape .* do not fit"):
        model(covariances=np.ones(shape, np.complex64))


@pytest.mark.parametrize("n_channels", [1, 3])
def test_covariances_are_for_two_channels(n_channels):
    with pytest.raises(TemplateError, match="covariances"):
        model(mixture=Mixture("", "", n_channels, 100), covariances=COVARIANCES)


NOT_PROPER = {
    "not Hermitian": [[1, 0.5], [0.2, 1]],
    "not real": [[1 + 1j, 0], [0, 1 - 1j]],
    "of another trace": [[1, 0], [0, 2]],
    "negative": [[-1, 0], [0, 3]],
    "indefinite": [[1, 2], [2, 1]],
    "zero": [[0, 0], [0, 0]],
    "not a number": [[1, np.nan], [np.nan, 1]],
    "infinite": [[np.inf, 0], [0, -np.inf]],
}


@pytest.mark.parametrize("matrix", NOT_PROPER.values(), ids=NOT_PROPER)
def test_covariances_that_are_none_are_refused(matrix):
    covariances = COVARIANCES.copy()
    covariances[1, 3] = matrix
    with pytest.raises(TemplateError, match="positive semidefinite with trace 2"):
        model(covariances=covariances)


PARTS = np.stack([COVARIANCES.real, COVARIANCES.imag])
BAD_ARRAYS = {
    "penalties of other components": {"penalties": np.zeros(2, np.float32)},
    "negative penalties": {"penalties": np.float32([0, -1, 0])},
    "penalties that are no numbers": {"penalties": np.float32([0, np.nan, 0])},
    "penalties beyond float32": {"penalties": np.array([0, 1e300, 0])},
    "penalties as a matrix": {"penalties": np.zeros((3, 1), np.float32)},
    "whole penalties": {"penalties": np.zeros(3, int)},
    "covariances of one part": {"covariances": PARTS[:1]},
    "covariances of three parts": {"covariances": PARTS[[0, 1, 1]]},
    "covariances without parts": {"covariances": PARTS[0]},
    "covariances of other sources": {"covariances": PARTS[:, :1]},
    "covariances of other bins": {"covariances": PARTS[:, :, :-1]},
    "covariances of one channel": {"covariances": PARTS[..., :1, :1]},
    "complex covariances": {"covariances": COVARIANCES[None]},
    "covariances beyond float32": {"covariances": 1e300 * PARTS.astype(np.float64)},
    "covariances that are no numbers": {"covariances": np.nan * PARTS},
    "covariances of zero": {"covariances": 0 * PARTS},
    "a context without bands": {"context": CONTEXT},
    "a context as a vector": {"context": CONTEXT[0]},
    "voters without votes": {"voters": VOTERS},
    "votes without voters": {"votes": VOTES},
    "voters of other bins": {"voters": VOTERS[:-1], "votes": VOTES},
    "no voters": {"voters": VOTERS[:, :0], "votes": VOTES[:, :0]},
    "votes for other sources": {"voters": VOTERS, "votes": VOTES[:1]},
    "votes of other voters": {"voters": VOTERS, "votes": VOTES[:, :-1]},
    "votes that are no numbers": {"voters": VOTERS, "votes": VOTES * np.nan},
    "negative votes": {"voters": VOTERS, "votes": -VOTES},
    "leanings without voters": {"leanings": LEANINGS},
    "later voters alone": {"later_voters": VOTERS, "later_votes": VOTES},
    "later votes without later voters": {"voters": VOTERS, "votes": VOTES, "later_votes": VOTES},
    "leanings to other sources": {"voters": VOTERS, "votes": VOTES, "leanings": LEANINGS[:1]},
    "leanings that are no numbers": {"voters": VOTERS, "leanings": LEANINGS * np.nan},
    "leanings beyond all measure": {"voters": VOTERS, "leanings": LEANINGS * 100},
    "evidence without voters": {"evidence": EVIDENCE},
    "evidence of other sources": {"voters": VOTERS, "votes": VOTES, "evidence": EVIDENCE[:, :1]},
    "evidence for more than all": {"voters": VOTERS, "votes": VOTES, "evidence": 2 * EVIDENCE},
    "evidence beyond all measure": {
        "voters": VOTERS,
        "votes": VOTES,
        "evidence": EVIDENCE * np.float32([[1], [50]]),
    },
    "evidence that is no numbers": {
        "voters": VOTERS,
        "votes": VOTES,
        "evidence": EVIDENCE * np.nan,
    },
    "votes with patterns": {"voters": VOTERS, "votes": VOTES, "patterns": W[None]},
    "shares of other components": {"shares": SHARES[:, :-1]},
    "shares of other sources": {"shares": SHARES[:1]},
    "shares that do not sum to 1": {"shares": SHARES * 2},
    "negative shares": {"shares": np.float32([[2, 0, 0], [-1, 1, 1]])},
    "shares that are no numbers": {"shares": SHARES * np.nan},
    "shares of patterns": {"shares": SHARES, "patterns": W[None]},
}


@pytest.mark.parametrize("arrays", BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_arrays_that_make_no_sense_are_refused_by_name(tmp_path, arrays):
    with pytest.raises(TemplateError, match=r"m\.npz"):
        Decomposition.load(saved(tmp_path / "m.npz", {"templates": W, "activations": H} | arrays))


SETTINGS = dataclasses.asdict(Settings())
MIXTURE = {"path": "/m.wav", "sha256": "", "n_channels": 1, "n_samples": 100}
BAD = [
    *({key: ...} for key in ("grouping", "settings", "mixture", "divergence", "reason", "labels")),
    {"grouping": None},
    {"grouping": 3},
    {"grouping": {"a": [0, 1, 2]}},
    {"grouping": [["a", [0, 1]]]},
    {"grouping": [["a", [0, 1, 2]], ["a", [0]]]},
    {"grouping": [["a", [0, 1]], ["b", [1, 2]]]},
    {"grouping": [["a", [0, 1]], ["rest", [1, 2]]]},
    {"grouping": [["a", [0, 1]], ["rest", [2, 2]]]},
    {"grouping": [["a", [0, 1]], ["b", [3]]]},
    {"grouping": [["", [0, 1, 2]]]},
    {"grouping": [["a", ["x"]]]},
    {"settings": None},
    {"settings": [1]},
    {"settings": SETTINGS | {"beta": "1"}},
    {"settings": SETTINGS | {"max_iter": 0}},
    {"settings": SETTINGS | {"n_threads": 10**9}},
    {"settings": SETTINGS | {"unknown": 1}},
    {"mixture": None},
    {"mixture": MIXTURE | {"more": 1}},
    {"mixture": {"path": "/m.wav"}},
    {"mixture": MIXTURE | {"path": 3}},
    {"mixture": MIXTURE | {"sha256": None}},
    {"mixture": MIXTURE | {"n_channels": "2"}},
    {"mixture": MIXTURE | {"n_channels": 0}},
    {"mixture": MIXTURE | {"n_channels": -1}},
    {"mixture": MIXTURE | {"n_samples": 0}},
    {"mixture": MIXTURE | {"n_samples": 100.0}},
    {"mixture": MIXTURE | {"n_samples": 10**30}},
    {"divergence": None},
    {"divergence": 3.0},
    {"divergence": "3"},
    {"divergence": [[1.0]]},
    {"divergence": ["a"]},
    {"divergence": [1.0, float("nan")]},
    {"divergence": [float("inf")]},
    *({"banded": flag} for flag in (..., None, 0, 1, "true", "", [])),
    {"labels": ["x", "y"]},
    {"sample_rate": 0},
    {"stft": {"n_fft": 32, "hop_length": 4, "window": "hann"}},
]


@pytest.mark.parametrize("changes", BAD, ids=repr)
def test_a_model_that_makes_no_sense_is_refused_by_name(tmp_path, changes):
    with pytest.raises(TemplateError, match=r"m\.npz"):
        Decomposition.load(saved(tmp_path / "m.npz", **changes))


def test_a_model_of_exemplars_comes_back_with_the_same_bytes(tmp_path):
    found = model(**EXEMPLARS)
    first, second = (found.save(tmp_path / name) for name in ("a.npz", "b.npz"))
    assert first.read_bytes() == second.read_bytes()
    loaded = Decomposition.load(first)
    assert_same(loaded, found)
    assert np.array_equal(loaded.context, CONTEXT)
    for name in ("templates", "votes", "leanings", "evidence"):
        assert np.array_equal(getattr(loaded.voters, name), getattr(found.voters, name))
    assert np.array_equal(loaded.voters.then.votes, LATER.votes)
    assert loaded.voters.then.then is None
    plain = Decomposition.load(model().save(tmp_path / "c.npz"))
    assert plain.context is plain.voters is None


@pytest.mark.parametrize("rows", [CONTEXT[:-1], CONTEXT[:, :2]])
def test_a_context_of_other_rows_or_components_is_refused(rows):
    with pytest.raises(TemplateError, match="does not fit"):
        model(context=rows, banded=True)


def test_each_source_has_its_share_of_a_component_in_doubt(tmp_path):
    found = model(shares=SHARES)
    wanted = np.stack([W @ (H * share[:, None]) for share in SHARES])
    assert np.allclose(found.models(H), wanted, rtol=1e-5)
    assert [own for own, _ in found.parts] == [[0, 1, 2], [1, 2]]  # not those that it has none of
    loaded = Decomposition.load(found.save(tmp_path / "a.npz"))
    assert np.array_equal(loaded.shares, SHARES)
    assert loaded.save(tmp_path / "b.npz").read_bytes() == (tmp_path / "a.npz").read_bytes()


@pytest.mark.parametrize("shares", [-SHARES, SHARES * 2, SHARES[:1], SHARES - [[1], [-1]]])
def test_shares_that_do_not_fit_are_refused(shares):
    with pytest.raises(TemplateError, match=r"shares of|the shares"):
        model(shares=shares)


def test_groups_by_hand_are_in_no_doubt():
    regrouped = model(shares=SHARES, covariances=COVARIANCES).regroup({"a": (0, 1)})
    assert regrouped.shares is regrouped.covariances is None
    assert np.array_equal(regrouped.parts[0][1], W[:, :2])


def test_other_groups_have_no_votes_but_the_context():
    regrouped = model(**EXEMPLARS).regroup({"c": (1,)})
    assert regrouped.voters is None
    assert np.array_equal(regrouped.context, CONTEXT)


def test_voters_share_out_what_the_templates_explain():
    voters = Voters(VOTERS, np.full((2, 5), 0.5, np.float32))
    found = model(**EXEMPLARS | {"voters": voters}, activations=None)
    V = RNG.random((9, 7)).astype(np.float32)
    models = RNG.random((2, 9, 7)).astype(np.float32)
    even = found.voted(models, V)
    np.testing.assert_allclose(even.sum(axis=0), models.sum(axis=0), rtol=1e-5)
    roots = np.sqrt(models)  # where the voters see no difference
    np.testing.assert_allclose(even / even.sum(axis=0), roots / roots.sum(axis=0), rtol=1e-4)
    all_mine = Voters(VOTERS, np.float32([[1] * 5, [0] * 5]))
    mine = dataclasses.replace(found, voters=all_mine).voted(models, V)
    np.testing.assert_allclose(mine, [models.sum(axis=0), 0 * models[0]], rtol=1e-5)
    assert np.array_equal(found.voted(0 * models, V), 0 * models)
    assert np.array_equal(found.voted(models, 0 * V), models)


@pytest.mark.parametrize("votes", [None, VOTES])
def test_what_sounds_leans_as_far_as_it_is_told_to(votes):
    V = RNG.random((9, 7)).astype(np.float32)
    models = RNG.random((2, 9, 7)).astype(np.float32)
    plain = model(voters=Voters(VOTERS, VOTES)).voted(models, V) if votes is not None else models
    leaning = np.float32([[0.4] * 5, [-0.4] * 5])
    moved = model(voters=Voters(VOTERS, votes, leaning)).voted(models, V)
    np.testing.assert_allclose(moved.sum(axis=0), models.sum(axis=0), rtol=1e-5)
    np.testing.assert_allclose(moved[0] / moved[1], plain[0] / plain[1] * np.exp(0.8), rtol=1e-4)
    one = np.zeros((2, 5), np.float32)
    one[:, 3] = 2, -2
    moved = model(voters=Voters(VOTERS, votes, one)).voted(models, V)
    assert (moved[0] >= plain[0] * np.float32(1 - 1e-5)).all()
    assert not np.allclose(moved, plain)


def test_later_voters_have_their_say_in_what_the_first_ones_gave():
    V = RNG.random((9, 7)).astype(np.float32)
    models = RNG.random((2, 9, 7)).astype(np.float32)
    votes = np.float32([[0.9] * 5, [0.1] * 5])
    first, later = Voters(VOTERS, votes), Voters(VOTERS[:, :3], 1 - votes[:, :3])
    both = dataclasses.replace(first, then=later)
    wanted = model(voters=later).voted(model(voters=first).voted(models, V), V)
    assert np.array_equal(model(voters=both).voted(models, V), wanted)
    turned = both.ordered([1, 0])
    assert np.array_equal(turned.then.votes, later.votes[::-1])
    with pytest.raises(TemplateError, match="do not fit"):
        model(voters=dataclasses.replace(first, then=Voters(VOTERS, votes[:1])))


def test_arrays_that_do_not_fit_each_other_are_refused(tmp_path):
    for arrays in ({"templates": W[:, :2], "activations": H}, {"templates": W, "activations": W}):
        with pytest.raises(TemplateError, match=r"m\.npz"):
            Decomposition.load(saved(tmp_path / "m.npz", arrays))


def test_activations_beyond_float32_are_refused(tmp_path):
    arrays = {"templates": W, "activations": np.full(H.shape, 1e300)}
    with pytest.raises(TemplateError, match="not finite"):
        Decomposition.load(saved(tmp_path / "m.npz", arrays))


def test_a_template_file_is_no_model_and_a_model_no_template_file(tmp_path):
    bank, whole = model().templates.save(tmp_path / "t.npz"), model().save(tmp_path / "m.npz")
    with pytest.raises(TemplateError, match="not an audionmf model file"):
        Decomposition.load(bank)
    with pytest.raises(TemplateError, match="not an audionmf templates file"):
        Templates.load(whole)


def test_a_model_knows_its_recording_by_its_bytes(tmp_path):
    path = sound(tmp_path / "a.wav", two_notes())
    known = model(mixture=Mixture.of(AudioFile(path), 100))
    assert known.mixture.path == str(path.resolve())
    known.check_mixture(AudioFile(path))
    (tmp_path / "moved").mkdir()
    moved = path.rename(tmp_path / "moved" / "b.wav")
    known.check_mixture(AudioFile(moved))
    sound(moved, two_notes()[:, ::-1])
    with pytest.raises(TemplateMismatchError, match="not the recording"):
        known.check_mixture(AudioFile(moved))


@pytest.mark.parametrize("most", [0, 5_000, 1 << 20])
def test_places_are_learnt_from_powers_that_are_made_once_as_far_as_they_may_be_kept(
    monkeypatch, most
):
    rng = np.random.default_rng(0)
    n_frames, made = 3 * decomposing.BLOCK_FRAMES - 5, []
    X = (rng.random((2, 9, n_frames)) + 1j * rng.random((2, 9, n_frames))).astype(np.complex64)
    H = rng.random((3, n_frames)).astype(np.float32)
    expected = model().with_covariances(X, H).covariances
    monkeypatch.setattr(decomposing, "_MOST_POWERS", most)
    masks = decomposing.ratio_masks
    monkeypatch.setattr(decomposing, "ratio_masks", lambda *a: made.append(1) or masks(*a))
    again = model().with_covariances(X, H).covariances
    np.testing.assert_array_equal(again, expected)
    kept = min(3, most // (2 * 9 * decomposing.BLOCK_FRAMES))
    assert len(made) == kept + spatial.PASSES * (3 - kept)


def test_places_of_a_long_recording_are_learnt_from_frames_spread_over_it(monkeypatch):
    rng = np.random.default_rng(0)
    found, H = model(), rng.random((3, 600)).astype(np.float32) ** 4
    powers = [H[list(group)].sum(axis=0) for group in GROUPING.values()]
    spread = np.sqrt(rng.exponential(size=(2, 600, 9))) * np.exp(6.3j * rng.random((2, 600, 9)))
    stems = np.sqrt(powers)[..., None] * spread
    X = np.einsum("cj,jtf->ctf", [[1, 0.3], [0.3, 1]], stems).astype(np.complex64).swapaxes(1, 2)
    counted, learn = [], decomposing.estimate_covariances

    def count(block, n_blocks, *sizes, **options):
        counted.append(sum(block(i)[0].shape[-1] for i in range(n_blocks)))
        return learn(block, n_blocks, *sizes, **options)

    monkeypatch.setattr(decomposing, "estimate_covariances", count)
    whole = found.with_covariances(X, H).covariances
    monkeypatch.setattr(decomposing, "_MOST_PLACED", 200)
    some = found.with_covariances(X, H).covariances
    assert counted == [600, 200]
    assert 1e-6 < np.abs(some - whole).mean() < 0.1
