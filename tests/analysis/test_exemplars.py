"""Sources by exemplars: frames that know their neighbours, copies, votes; whole and in blocks."""

import dataclasses
import threading
import weakref

import numpy as np
import pytest

from audionmf import LiveSeparator, analyse, learn, render
from audionmf.analysis import component_stretches, component_votes, exemplars, learning
from audionmf.analysis.activations import with_activations
from audionmf.analysis.component_votes import votes
from audionmf.analysis.exemplars import is_exemplary, shifted
from audionmf.errors import StoppedError
from audionmf.io.audio import Audio
from audionmf.rendering import blocks
from audionmf.rendering.decomposition import Decomposition
from audionmf.settings import Settings
from audionmf.spectra import frames
from audionmf.spectra.frames import pooled_magnitude
from audionmf.spectra.neighbours import Neighbours
from audionmf.spectra.stft import STFT

RATE = 8000
OPTIONS = {"sample_rate": RATE, "n_fft": 512, "n_threads": 1, "adapt_iter": 6, "model": "frames"}
N_SAMPLES = 12_000


def notes(pitches, n_samples=N_SAMPLES, fall=4.0):
    """Return one note after the other, each dying away."""
    length = n_samples // len(pitches)
    t = np.arange(length) / RATE
    parts = [sum(np.sin(2 * np.pi * f * k * t) / k for k in (1, 2, 3)) for f in pitches]
    return np.concatenate([p * np.exp(-fall * t) for p in parts]).astype(np.float32)


LOW, HIGH = notes([200, 250, 300]), notes([900, 1000, 1100, 1200], fall=1.0)
STEMS = np.stack([np.stack([LOW, 0.3 * LOW]), np.stack([0.3 * HIGH, HIGH])])
MIXTURE = STEMS.sum(axis=0)
EXAMPLES = {"low": notes([300, 200, 250]), "high": notes([1200, 900, 1100, 1000], fall=1.0)}


def by_example(mixture=MIXTURE, examples=EXAMPLES, **options):
    wrapped = {name: Audio(np.atleast_2d(e), RATE) for name, e in examples.items()}
    return analyse(mixture, examples=wrapped, **OPTIONS | options)


@pytest.fixture(scope="module")
def found():
    return by_example()


@pytest.fixture
def long(monkeypatch):
    """Have so few frames learnt from that activations are found block by block."""
    monkeypatch.setattr(exemplars, "_MIXTURE_FRAMES", 40)
    monkeypatch.setattr(frames, "_MOST_EVERY", 0)
    monkeypatch.setattr(component_votes, "_VOTE_BELOW", 1e9)
    return by_example()


def stems_of(found, mixture=MIXTURE):
    return np.stack(list(render(mixture, found, sample_rate=RATE).sources.values()))


def decibels(truth, stems):
    return 10 * np.log10((truth**2).sum() / ((truth - stems) ** 2).sum())


def test_sources_are_told_apart_and_sum_up(found):
    stems = stems_of(found)
    assert decibels(STEMS, stems) > 15
    np.testing.assert_allclose(stems.sum(axis=0), MIXTURE, atol=1e-6)


def test_templates_know_what_comes_before_and_after(found):
    stft, rate = found.templates.stft, found.templates.sample_rate
    assert found.context.shape == (Neighbours.of(stft, rate).n_rows, found.n_components)
    assert found.context.any()
    assert found.activations is not None


def test_examples_are_transformed_once(monkeypatch):
    """They are templates, exemplars, and what their sources sound like."""
    read, blocks = [], Audio.blocks
    monkeypatch.setattr(Audio, "blocks", lambda audio: read.append(audio) or blocks(audio))
    by_example()
    lengths = [audio.n_samples for audio in read if audio.n_channels == 1]
    assert len(lengths) == 4  # of each, once more for its offset


def test_what_a_source_sounds_like_is_the_same_from_frames_that_are_known():
    stft, recording = STFT(512, 128), Audio(MIXTURE, RATE)
    found = [frames.gather(recording, stft)] * 2
    known = learning.source_sound([recording] * 2, stft, RATE, found)
    assert known.shape[1] == 190
    np.testing.assert_array_equal(known, learning.source_sound([recording] * 2, stft, RATE))
    fewer = [frames.gather(recording, stft, 60)] * 2
    np.testing.assert_array_equal(known, learning.source_sound([recording] * 2, stft, RATE, fewer))


def test_blocks_weigh_neighbours_as_the_fit_did(found):
    """Its templates sum to 1 with all that is stacked under them."""
    V = pooled_magnitude(found.templates.stft.forward(MIXTURE))
    _, stacked = found._pooled(V, (0, 0))
    np.testing.assert_allclose(stacked.sum(axis=0), 1, rtol=1e-4)


def syllables(formants, order, length=700):
    t, fades = np.arange(length) / RATE, np.hanning(length)
    kinds = [fades * (np.sin(2 * np.pi * f * t) + np.sin(2 * np.pi * g * t)) for f, g in formants]
    return np.concatenate([kinds[k] for k in order]).astype(np.float32)


def test_neighbours_count_so_little_that_speech_may_go_on_otherwise(monkeypatch):
    vowels = (
        [(300, 700), (500, 1100), (800, 1500), (400, 2000), (600, 900)],
        [(350, 1100), (500, 900), (700, 2000), (450, 1500), (300, 1250)],
    )
    draw = np.random.default_rng(0).integers
    one, other, *examples = (syllables(v, draw(0, 5, 20)) for v in vowels * 2)
    stems = np.stack([one, other])[:, None]
    mixture = stems.sum(axis=0)

    def told():
        found = by_example(mixture, dict(zip(("one", "other"), examples, strict=True)))
        return decibels(stems, stems_of(found, mixture))

    as_it_is = told()
    monkeypatch.setattr(exemplars, "WEIGHT", 1.0)
    assert as_it_is > told() + 1


def test_beside_free_components_neighbours_count_as_much_as_the_frame():
    one = by_example(examples={"low": EXAMPLES["low"]})
    assert (one.neighbour_weight, by_example().neighbour_weight) == (1, 0.25)


def learnt(**options):
    return [
        learn(e, name, sample_rate=RATE, n_fft=512, n_threads=1, **options)
        for name, e in EXAMPLES.items()
    ]


def test_a_bank_of_frames_is_as_good_as_the_examples_it_was_learnt_from(found):
    by_bank = analyse(MIXTURE, templates=learnt(), **OPTIONS)
    assert by_bank.context is not None
    assert decibels(STEMS, stems_of(by_bank)) == pytest.approx(
        decibels(STEMS, stems_of(found)), abs=0.1
    )
    assert by_bank.voters.leanings == pytest.approx(found.voters.leanings, abs=0.05)


def test_what_a_bank_sounded_like_tells_whose_components_are(found):
    banks = [dataclasses.replace(bank, sounds={}) for bank in learnt()]
    deaf = analyse(MIXTURE, templates=banks, **OPTIONS)
    assert np.abs(deaf.voters.leanings - found.voters.leanings).max() > 0.1


def test_a_bank_of_factors_brings_no_context_and_separates_alike(found):
    plain = analyse(MIXTURE, templates=learnt(dictionary="nmf"), **OPTIONS)
    assert plain.context is None
    assert plain.banded
    assert decibels(STEMS, stems_of(plain)) > 0.7 * decibels(STEMS, stems_of(found))


@pytest.mark.parametrize(
    ("options", "exemplary"),
    [({}, True), ({"exemplars": False}, False), ({"quality": "fast"}, False),
     ({"adapt_iter": 0}, False), ({"beta": 0.5}, False)],
)  # fmt: skip
def test_exemplars_are_the_way_for_what_is_fitted_to_the_mixture(options, exemplary):
    assert is_exemplary(Settings.from_options(**options)) == exemplary


def test_without_exemplars_there_is_neither_context_nor_vote():
    plain = by_example(exemplars=False)
    assert plain.context is plain.voters is None
    free = by_example(free=2)
    assert free.context is free.voters is None
    assert free.source_names == ["low", "high", "other"]


def test_a_note_that_an_example_lacks_is_played_by_a_copy():
    lacking = {"low": notes([200, 200]), "high": EXAMPLES["high"]}
    copied, plain = by_example(examples=lacking), by_example(examples=lacking, pitch_shifts=0)
    assert copied.penalties.any()
    assert not plain.penalties.any()
    gain = decibels(STEMS, stems_of(copied)) - decibels(STEMS, stems_of(plain))
    assert gain > 1


@pytest.mark.parametrize(("left", "copied"), [(0.11, True), (0.09, False)])
def test_copies_join_where_frames_leave_more_than_a_tenth(monkeypatch, left, copied):
    monkeypatch.setattr(exemplars._Fit, "_left", lambda *_: left)
    lacking = {"low": notes([200, 200]), "high": EXAMPLES["high"]}
    assert by_example(examples=lacking).penalties.any() == copied


def lowest(found):
    """Return how well the stem of the low notes is told from the rest, in dB."""
    return decibels(STEMS[0], render(MIXTURE, found, sample_rate=RATE).sources["low"])


def test_comparing_with_the_examples_tells_how_far_it_is_and_can_be_stopped(monkeypatch):
    """It takes longer than the vote that it follows, which would be at 100 % all the time."""
    monkeypatch.setattr(component_stretches, "_FRAMES", 20)
    looked, features = [], component_votes.component_features

    def look(*args, **kwargs):
        looked.append(args)
        return features(*args, **kwargs)

    monkeypatch.setattr(component_votes, "component_features", look)
    told = []
    by_example(progress=lambda *stage: told.append(stage))
    shares = [share for stage, share in told if stage == "compare"]
    assert len(looked) == 4
    assert shares == [0, 0.25, 0.5, 0.75, 1]
    last = max(n for n, (stage, _) in enumerate(told) if stage == "vote")
    assert told[last + 1][0] == "compare"

    for most in (0, 2):

        def stop(stage, _, most=most):
            return stage == "compare" and len(looked) > most

        looked.clear()
        with pytest.raises(StoppedError, match="compare"):
            by_example(progress=stop, n_threads=1)
        assert len(looked) < most + 3  # one is looked at ahead


@pytest.mark.parametrize("n_threads", [1, 2])
def test_what_goes_on_beside_the_fit_ends_with_it(n_threads):
    before = set(threading.enumerate())
    with pytest.raises(StoppedError, match="adapt"):
        by_example(progress=lambda stage, _: stage == "adapt", n_threads=n_threads)
    assert set(threading.enumerate()) <= before


def test_what_goes_on_beside_the_fit_tells_of_no_stage_before_the_fit_is_done():
    told = []
    by_example(progress=lambda stage, _: told.append(stage), n_threads=2)
    last = max(n for n, stage in enumerate(told) if stage == "adapt")
    assert not {"vote", "compare", "notes"} & set(told[:last])
    assert told[last + 1] == "vote"


@pytest.mark.parametrize("step", [1, 4])
def test_activations_of_voters_are_found_once_as_they_would_be_each_time(step, monkeypatch):
    if step > 1:
        monkeypatch.setattr(exemplars, "_MIXTURE_FRAMES", 40)
    monkeypatch.setattr(component_votes, "_VOTE_BELOW", 1e9)
    known = by_example()
    voters = known.voters
    assert voters.activations.shape[1] == voters.then.activations.shape[1] == 95

    unknown = dataclasses.replace(
        voters, activations=None, then=dataclasses.replace(voters.then, activations=None)
    )
    again = stems_of(dataclasses.replace(known, voters=unknown))
    np.testing.assert_allclose(stems_of(known), again, atol=1e-5)
    monkeypatch.setattr(exemplars._Fit, "_everywhere", lambda *_: None)
    each_time = by_example()
    assert each_time.voters.activations is None
    np.testing.assert_allclose(each_time.voters.leanings, voters.leanings, atol=1e-3)
    np.testing.assert_allclose(each_time.covariances, known.covariances, atol=1e-3)


def test_one_example_alone_leaves_a_rest_that_votes():
    one = by_example(examples={"low": EXAMPLES["low"]})
    assert one.source_names == ["low", "rest"]
    assert lowest(one) > 10
    assert one.voters is not None
    assert one.context is not None
    assert len(one.grouping["rest"]) == 8


def test_one_example_is_copied_where_that_explains_much_more(monkeypatch):
    lacking = {"low": notes([200, 200])}
    copied, plain = by_example(examples=lacking), by_example(examples=lacking, pitch_shifts=0)
    assert copied.penalties.any()
    assert not plain.penalties.any()
    assert lowest(copied) > lowest(plain) + 2
    monkeypatch.setattr(exemplars, "_LACKING", 0.0)  # nothing explains so much more
    assert not by_example(examples=lacking).penalties.any()


def test_a_rest_is_silent_where_it_is_said_to_be():
    half = N_SAMPLES / RATE / 2
    one = by_example(examples={"low": EXAMPLES["low"]}, absent={"rest": [(0, half)]})
    rest = render(MIXTURE, one, sample_rate=RATE).sources["rest"]
    before, after = np.split(rest, 2, axis=1)
    assert (before[:, :-600] ** 2).sum() < 1e-3 * (after**2).sum()
    learnt = one.activations[list(one.grouping["rest"])]
    assert not learnt[:, : learnt.shape[1] // 2 - 5].any()
    assert learnt.any()


def test_beside_a_rest_all_vote_and_not_squared(monkeypatch):
    heard = []

    def listen(*args):
        heard.append(args[5])
        return votes(*args)

    monkeypatch.setattr(component_votes, "votes", listen)
    monkeypatch.setattr(component_votes, "_VOTE_BELOW", 0.0)  # the evidence never asks for them
    assert by_example(examples={"low": EXAMPLES["low"]}).voters is not None
    assert by_example().voters.votes is None
    monkeypatch.setattr(component_votes, "_VOTE_BELOW", 1e9)
    assert by_example().voters.votes is not None
    assert heard == [1, 2]


def test_votes_are_as_sharp_as_they_are_asked_to_be(found):
    V = np.abs(np.random.default_rng(0).normal(size=(257, 30))).astype(np.float32)
    H = np.ones((found.n_components, 30), np.float32)
    G = np.ones((2, 30), np.float32)
    once, twice = (votes(found, V, H, V[:, :2].copy(), G, power) for power in (1, 2))
    np.testing.assert_allclose(once**2 / (once**2).sum(axis=0), twice, rtol=1e-4)
    assert not np.allclose(once, twice)


def test_a_copy_lies_semitones_away():
    spectrum = np.zeros((400, 1), np.float32)
    spectrum[100] = 1
    assert shifted(spectrum, 6, STFT(798, 100)).argmax() == round(100 * 2**0.5)
    assert shifted(spectrum, -6, STFT(798, 100)).argmax() == round(100 / 2**0.5)


@pytest.mark.parametrize("power", [-20, 20])
def test_a_power_of_two_scales_the_activations_and_nothing_else(found, power):
    scaled = by_example(MIXTURE * np.float32(2.0**power))
    assert np.array_equal(found.context, scaled.context)
    assert np.array_equal(found.covariances, scaled.covariances)
    assert np.array_equal(found.voters.leanings, scaled.voters.leanings)
    assert np.array_equal(found.templates.templates, scaled.templates.templates)
    assert np.array_equal(found.activations * np.float32(2.0**power), scaled.activations)
    assert np.array_equal(found.voters.evidence, scaled.voters.evidence)


def test_the_number_of_threads_does_not_change_a_bit(found):
    other = by_example(n_threads=3)
    assert np.array_equal(found.activations, other.activations)
    assert np.array_equal(stems_of(found), stems_of(other))
    assert np.array_equal(found.voters.evidence, other.voters.evidence)


def test_an_absent_source_is_silent(monkeypatch):
    monkeypatch.setattr(component_votes, "_VOTE_BELOW", 1e9)
    absent = by_example(absent={"low": [(0.5, 1.0)]})
    mine = [label == "low" for label in absent.templates.labels]
    ((first, stop),) = absent.absent["low"]
    assert not absent.activations[mine, first:stop].any()
    assert absent.activations[mine, : first - 1].any()
    assert not stems_of(absent)[0][:, 4800:7200].any()


def test_absent_ranges_hold_among_thinned_frames(long):
    absent = by_example(absent={"low": [(0.5, 1.0)]})
    assert absent.activations is None
    ((first, stop),) = absent.absent["low"]
    V = pooled_magnitude(absent.templates.stft.forward(MIXTURE))
    mine = [label == "low" for label in absent.templates.labels]
    H = absent.activate(V, 1, 0, (0, 0))[mine]
    assert not H[:, first:stop].any()
    assert H[:, :first].any()


@pytest.mark.parametrize("absent", [None, {"low": [(0, 0.5)]}])
def test_activations_of_all_frames_are_found_once_where_they_are_not_too_many(monkeypatch, absent):
    monkeypatch.setattr(exemplars, "_MIXTURE_FRAMES", 40)
    told = {} if absent is None else {"absent": absent}
    at_once = by_example(**told)
    monkeypatch.setattr(frames, "_MOST_EVERY", 0)
    by_block = by_example(**told)
    assert by_block.activations is None
    assert at_once.activations.shape[1] > 2 * 40
    found_again = with_activations(Audio(MIXTURE, RATE), by_block).activations
    # Rounding may restart the momentum of a frame elsewhere; absent ones are left out otherwise.
    apart = np.abs(at_once.activations - found_again).mean() / found_again.mean()
    assert apart < (1e-3 if absent is None else 0.05)
    for first, stop in at_once.absent.get("low", []):
        mine = [label == "low" for label in at_once.templates.labels]
        assert not at_once.activations[mine, first:stop].any()
        assert at_once.activations[mine, stop:].any()
    stems = [stems_of(one) for one in (at_once, by_block)]
    assert decibels(*stems) > 45


def test_blocks_of_a_long_recording_give_the_whole(long, monkeypatch):
    assert long.activations is None
    assert long.voters is not None
    whole = stems_of(long)
    V = pooled_magnitude(long.templates.stft.forward(MIXTURE))
    H = long.activate(V, 1, 0, (0, 0))
    part = long.activate(V[:, 20:60], 1, 24, (4, 4))
    np.testing.assert_allclose(part, H[:, 24:56], rtol=1e-3, atol=1e-5 * H.max())
    blind = long.activate(V, 1)
    assert np.abs(blind - H).max() > 0.01 * H.max()  # the context does say something
    monkeypatch.setattr(blocks, "BLOCK_FRAMES", 7)
    np.testing.assert_allclose(stems_of(long), whole, atol=1e-4)
    span = blocks.render_span(Audio(MIXTURE, RATE), long, 3000, 5000)
    np.testing.assert_allclose(span, whole[..., 3000:5000], atol=1e-4)


def test_a_long_recording_is_separated_like_a_short_one(long, found):
    assert decibels(STEMS, stems_of(long)) > 0.7 * decibels(STEMS, stems_of(found))


def test_a_saved_model_renders_the_same_bits(long, tmp_path):
    loaded = Decomposition.load(long.save(tmp_path / "m.npz"))
    assert np.array_equal(stems_of(loaded), stems_of(long))


def test_a_stream_takes_the_templates_without_context(long):
    live = LiveSeparator(long, 2, sample_rate=RATE)
    live_stems = np.stack([
        np.concatenate([a, b], axis=1)
        for a, b in zip(live.push(MIXTURE).values(), live.flush().values(), strict=True)
    ])  # fmt: skip
    np.testing.assert_allclose(live_stems.sum(axis=0), MIXTURE, atol=1e-5)
    plain = dataclasses.replace(long, context=None, voters=None)
    np.testing.assert_allclose(live_stems, stems_of(plain), atol=1e-3)


def test_votes_are_shares_and_what_is_a_sources_alone_votes_for_it(found):
    V = pooled_magnitude(found.templates.stft.forward(MIXTURE))
    models = found.models(found.activations)
    W = models.mean(axis=2).T + np.float32(1e-9)  # a component for each source
    G = models.sum(axis=1) / W.sum(axis=0)[:, None]
    shares = votes(found, V, found.activations, W, G)
    np.testing.assert_allclose(shares.sum(axis=0), 1, rtol=1e-5)
    assert np.all(np.diag(shares) > 0.9)


def test_silence_is_taken_apart_into_silence():
    with pytest.warns(match="silent"):
        silent = by_example(0 * MIXTURE)
    assert not stems_of(silent, 0 * MIXTURE).any()


def test_the_vote_is_heard_in_the_stems(long):
    """What voters say moves the masks, and the stems sum to the mixture as before."""
    silent = dataclasses.replace(long, voters=None)
    with_votes, without = stems_of(long), stems_of(silent)
    assert np.abs(with_votes - without).max() > 1e-3 * np.abs(MIXTURE).max()
    np.testing.assert_allclose(with_votes.sum(axis=0), without.sum(axis=0), atol=1e-5)


def test_stretches_are_looked_at_a_block_at_a_time(long, monkeypatch):
    """Models of all their frames would take more memory than all else; contexts go beyond blocks."""
    assert long.reach > 0
    voters = dataclasses.replace(long.voters, activations=None)

    def looked(size):
        monkeypatch.setattr(component_stretches, "_MASKED", size)
        return list(component_stretches.stretches(long, voters, Audio(MIXTURE, RATE)))

    for one, other in zip(looked(1000), looked(16), strict=True):
        np.testing.assert_allclose(one.V, other.V, rtol=1e-5)
        np.testing.assert_allclose(one.masks, other.masks, atol=2e-3)
        np.testing.assert_allclose(one.plain, other.plain, atol=2e-3)


def test_exemplars_are_let_go_before_components_are_compared(monkeypatch):
    """With their copies they are as large as the mixture: of three sources 45 MB."""
    made, build, vote = [], exemplars._exemplars, exemplars.with_voters

    def noted(*args):
        exemplary = build(*args)
        made.append(weakref.ref(exemplary))
        return exemplary

    def voted(*args, **options):
        assert [ref() for ref in made] == [None]
        return vote(*args, **options)

    monkeypatch.setattr(exemplars, "_exemplars", noted)
    monkeypatch.setattr(exemplars, "with_voters", voted)
    assert by_example().voters is not None
