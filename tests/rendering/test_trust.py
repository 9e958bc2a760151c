import dataclasses
import warnings

import numpy as np
import pytest

import audionmf
from audionmf.rendering.decomposition import Decomposition, Mixture
from audionmf.rendering.trust import Trust, TrustMeter, block_trust
from audionmf.rendering.voters import Voters
from audionmf.settings import Settings
from audionmf.sources.templates import Templates
from audionmf.spectra.masks import ratio_masks
from audionmf.spectra.stft import STFT

RATE = 8000


def figures(V, models, frames_per_second=1.0):
    meter = TrustMeter([f"s{j}" for j in range(len(models))], frames_per_second)
    meter.add(block_trust(V, models, ratio_masks(models)))
    return meter.result()


def apart():
    """Two models that have their bins to themselves, and the mixture they make."""
    models = np.zeros((2, 6, 4), np.float32)
    models[0, :3], models[1, 3:] = 3, 1
    return models.sum(axis=0), models


def test_sources_that_stand_apart_do_not_overlap_and_explain_all():
    trust = figures(*apart())
    assert trust.energy_share == pytest.approx({"s0": 0.9, "s1": 0.1})
    assert trust.overlap == pytest.approx({"s0": 0, "s1": 0}, abs=1e-6)
    np.testing.assert_allclose(trust.explained, 1, atol=1e-5)


def test_the_same_model_twice_overlaps_by_half():
    V, _ = apart()
    trust = figures(V, np.stack([V / 2, V / 2]))
    assert trust.overlap == pytest.approx({"s0": 0.5, "s1": 0.5})
    assert trust.energy_share == pytest.approx({"s0": 0.5, "s1": 0.5})


@pytest.mark.parametrize("exponent", [1, 1.5, 2])
def test_masks_made_in_passing_are_those_that_are_given(exponent):
    rng = np.random.default_rng(0)
    models, V = (rng.random((n, 40, 7), np.float32).swapaxes(1, 2) for n in (3, 1))
    masks = ratio_masks(models, exponent)
    given, made = (block_trust(V[0], models, told) for told in (masks, exponent))
    power, wanted = V[0].astype(np.float64) ** 2, masks.astype(np.float64)
    assert made.power == pytest.approx(power.sum())
    for found in (given, made):
        assert found.passed == pytest.approx((wanted * power).sum(axis=(1, 2)))
        assert found.squared == pytest.approx((wanted**2 * power).sum(axis=(1, 2)))
        assert found.magnitude == pytest.approx(V[0].sum(axis=0))
    model = models.sum(axis=0, dtype=np.float64)
    lost = (V[0] * np.log(V[0] / model) - V[0] + model).sum(axis=0)
    np.testing.assert_allclose(made.divergence, lost, rtol=1e-5)


def test_the_second_that_the_models_miss_is_found():
    V, models = apart()
    models[:, :, 2] = models[:, ::-1, 2] * 0.2
    trust = figures(V, models)
    assert np.argmin(trust.explained) == 2
    assert trust.explained[2] < 0.5
    assert "least at 2 s" in trust.to_text()


def test_one_against_the_rest_has_the_figures_of_the_two_stems_that_are_written():
    rng = np.random.default_rng(0)
    models = rng.random((3, 6, 4), np.float32)
    V, masks = models.sum(axis=0), ratio_masks(models)
    meter = TrustMeter(["s1", "rest"], 1.0)
    merged = np.stack([models[1], models[0] + models[2]])
    meter.add(block_trust(V, merged, np.stack([masks[1], masks[0] + masks[2]])))
    wanted, told = meter.result(), figures(V, models).against_rest("s1")
    assert told.energy_share == pytest.approx(wanted.energy_share)
    assert told.overlap == pytest.approx(wanted.overlap)
    np.testing.assert_allclose(told.explained, wanted.explained, atol=1e-5)


def test_one_of_several_known_sources_is_not_told_as_the_only_one_known():
    spread = figures(*apart()).against_rest("s0")
    assert spread.words("s0") == "hardly any of its sound is shared with others"
    lone = Trust({"s0": 0.5, "rest": 0.5}, {"s0": 0.0, "rest": 0.0}, np.ones(1))
    assert lone.against_rest("s0").words("s0") == lone.words("s0")
    assert lone.words("s0").startswith("nothing else is known")


def test_one_against_the_rest_of_silence_is_nothing():
    still = figures(np.zeros((6, 4), np.float32), np.zeros((2, 6, 4), np.float32))
    assert still.against_rest("s0").energy_share == {"s0": 0, "rest": 0}


@pytest.mark.parametrize("level", [1e-38, 1e-20, 1e18])
def test_the_level_does_not_matter(level):
    V, models = apart()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loud = figures(V * np.float32(level), models * np.float32(level))
    assert loud.energy_share == pytest.approx(figures(V, models).energy_share, rel=1e-3)
    np.testing.assert_allclose(loud.explained, 1, atol=1e-3)


def test_silence_has_no_energy_and_explains_nothing():
    trust = figures(np.zeros((6, 4), np.float32), np.zeros((2, 6, 4), np.float32))
    assert trust.energy_share == {"s0": 0, "s1": 0}
    assert np.isnan(trust.explained).all()
    assert trust.to_dict()["explained"] == [None] * 4


def test_the_blocks_add_up_to_the_whole():
    rng = np.random.default_rng(0)
    models = rng.random((3, 20, 50)).astype(np.float32)
    V = models.sum(axis=0) * rng.random((20, 50)).astype(np.float32)
    meter = TrustMeter(["s0", "s1", "s2"], 10)
    for block in (slice(0, 7), slice(7, 30), slice(30, 50)):
        part = models[..., block]
        meter.add(block_trust(V[:, block], part, ratio_masks(part)))
    whole, pieces = figures(V, models, 10), meter.result()
    assert pieces.overlap == pytest.approx(whole.overlap, rel=1e-5)
    np.testing.assert_allclose(pieces.explained, whole.explained, rtol=1e-4)
    assert len(whole.explained) == 5


def tone(pitch, n_samples=2 * RATE):
    time = np.arange(n_samples) / RATE
    partials = sum(np.sin(2 * np.pi * pitch * h * time) / h for h in (1, 2, 3))
    return (0.2 * partials).astype(np.float32)


def test_one_stem_and_the_rest_are_that_stem_and_the_sum_of_the_others():
    mixture = tone(220) + tone(330) + tone(500)
    examples = {"low": tone(220), "middle": tone(330), "high": tone(500)}
    options = {"examples": examples, "sample_rate": RATE, "n_components": 4}
    every = audionmf.separate(mixture, **options).sources
    for only in examples:
        one = audionmf.separate(mixture, only=only, **options)
        assert list(one.sources) == [only, "rest"]
        np.testing.assert_allclose(one.sources[only], every[only], atol=1e-6)
        np.testing.assert_allclose(sum(one.sources.values())[0], mixture, atol=1e-6)
        assert set(one.trust.overlap) == set(one.sources)


def test_there_is_no_stem_of_a_source_that_is_not_there():
    with pytest.raises(audionmf.ParameterError, match="no source 'flute'; there are '"):
        audionmf.separate(tone(220), n_sources=2, only="flute", sample_rate=RATE)


def test_the_residual_gets_what_no_template_explains():
    noise = 0.05 * np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    options = {"examples": {"tone": tone(220)}, "sample_rate": RATE, "n_components": 4}
    stems = audionmf.separate(tone(220) + noise, residual="noise", **options)
    assert list(stems.sources) == ["tone", "noise"]
    assert audionmf.evaluate.si_sdr(noise[None], stems.sources["noise"]) > 3
    assert audionmf.evaluate.si_sdr(tone(220)[None], stems.sources["tone"]) > 12
    np.testing.assert_allclose(sum(stems.sources.values())[0], tone(220) + noise, atol=1e-6)


def test_a_residual_works_in_stereo_and_is_kept_in_a_model(tmp_path):
    mixture = np.stack([tone(220) + 0.2 * tone(330), 0.3 * tone(220) + tone(330)])
    found = audionmf.analyse(
        mixture, examples={
            name: audionmf.Audio(tone(pitch), RATE) for name, pitch in (("low", 220), ("high", 330))
        }, residual="rest of it", sample_rate=RATE, n_components=4,
    )  # fmt: skip
    assert found.covariances is not None
    found.save(tmp_path / "model.npz")
    again = audionmf.Decomposition.load(tmp_path / "model.npz")
    assert again.source_names == ["low", "high", "rest of it"]
    stems = audionmf.render(mixture, again, sample_rate=RATE).sources
    np.testing.assert_allclose(sum(stems.values()), mixture, atol=1e-6)


@pytest.mark.parametrize("name", ["tone", "other"])
def test_a_residual_needs_a_name_of_its_own(name):
    with pytest.raises(audionmf.ParameterError, match="a name that no source has"):
        audionmf.separate(
            tone(220), examples={"tone": tone(220)}, free=1, residual=name, sample_rate=RATE
        )


def test_a_residual_goes_with_templates():
    with pytest.raises(audionmf.ParameterError, match="goes with templates"):
        audionmf.separate(tone(220), n_sources=2, residual="x", sample_rate=RATE)


def test_seconds_count_for_what_is_heard_in_them():
    V, models = apart()
    V, models = V.copy(), models.copy()
    V[:, 1:] *= 1e-3
    models[:, :, 1:] *= 0.05  # far too loud there: the divergence is many times what there is
    trust = figures(V, models)
    assert (trust.explained >= 0).all()
    assert trust.explained[1:].max() == 0
    assert trust.loudness.sum() == pytest.approx(1)
    assert "the models explain 100% of the mixture; least at 0 s (100%)" in trust.to_text()


@pytest.mark.parametrize(
    ("share", "words"),
    [(1.0, "nearly the whole mixture"), (0.5, "hardly any of its sound"), (0.0, "nearly nothing")],
)
def test_a_stem_that_is_hardly_a_source_says_so(share, words):
    """A stem that is the mixture, or silence, overlaps with nothing, and is not praised for it."""
    trust = Trust({"bird": share}, {"bird": 0.0}, np.ones(1))
    assert words in trust.words("bird")
    assert words in trust.to_text()


def test_words_claim_no_more_than_is_measured():
    """Sources that are swapped overlap as little as before: no figure sees it, and that is said."""
    V, models = apart()
    told, swapped = figures(V, models), figures(V, models[::-1])
    assert swapped.overlap == pytest.approx(told.overlap, abs=1e-6)
    assert (
        swapped.words("s0") == told.words("s0") == "hardly any of its sound is shared with others"
    )
    assert swapped.to_text().endswith(
        "not every sound that is in the wrong stem shows in these figures: listen"
    )


def test_what_free_components_take_is_not_praised():
    """They fit anything: that a rest overlaps little says nothing of the stem beside it."""
    trust = Trust({"bird": 0.2, "rest": 0.8}, {"bird": 0.05, "rest": 0.02}, np.ones(1))
    assert "hardly any of its sound" not in trust.to_text()
    assert trust.words("bird").startswith("nothing else is known")
    several = Trust(
        {"bird": 0.2, "frog": 0.3, "other": 0.5}, dict.fromkeys(("bird", "frog", "other"), 0.05),
        np.ones(1),
    )  # fmt: skip
    assert "hardly any of its sound" in several.words("bird")
    assert "hardly any of its sound" not in several.words("other")


def doubted(overlap, evidence, **changes):
    given = {"energy_share": {"sax": 0.5, "piano": 0.5}, "overlap": {"sax": overlap, "piano": 0.01}}
    return Trust(**given | changes, explained=np.ones(1), evidence=evidence)


def test_a_stem_that_is_likely_wrong_is_said_to_be_so_and_why():
    good, moved, lent, shared = (0.97, 0.1), (0.8, 3.0), (0.25, 0.9), (0.8, 0.9)
    assert "wrong" not in doubted(0.05, {"sax": good}).words("sax")
    cases = {
        "two ways to tell what belongs here disagree": (0.15, moved),
        "by its sound alone only 25% of it would go here": (0.15, lent),
        "50% of its sound is shared with others": (0.5, shared),
    }
    for why, (overlap, evidence) in cases.items():
        told = doubted(overlap, {"sax": evidence, "piano": good})
        assert told.words("sax") == f"this may well be wrong: {why}; listen before you use it"
        assert told.words("sax") in told.to_text()
        assert told.words("piano") == "hardly any of its sound is shared with others"
        assert told.to_dict()["doubt"] == {"sax": told.doubt("sax"), "piano": told.doubt("piano")}
        assert told.doubt("piano") < 0.2 < 0.5 <= told.doubt("sax")


def test_doubt_grows_with_overlap_and_where_ways_to_tell_disagree():
    for less, more in (
        ((0.1, (0.8, 0.5)), (0.3, (0.8, 0.5))),
        ((0.1, (0.8, 0.5)), (0.1, (0.5, 0.5))),
        ((0.1, (0.8, 0.5)), (0.1, (0.8, 1.5))),
        ((0.1, ()), (0.3, ())),
    ):
        (a, own), (b, other) = less, more
        assert doubted(a, {"sax": own}).doubt("sax") < doubted(b, {"sax": other}).doubt("sax")
    for overlap, evidence in ((0.0, (1.0, 0.0)), (1.0, (0.0, 30.0)), (0.0, ()), (1.0, ())):
        assert 0 < doubted(overlap, {"sax": evidence}).doubt("sax") < 1


def test_blind_overlap_alone_tells_which_stem_is_likely_wrong():
    assert doubted(0.3, {"sax": ()}).words("sax") == (
        "this may well be wrong: 30% of its sound is shared with others; listen before you use it"
    )
    assert "wrong" not in doubted(0.03, {"sax": ()}).words("sax")


def test_of_what_nothing_is_known_no_doubt_is_claimed():
    told = doubted(0.5, {})
    assert told.doubt("sax") is told.to_dict()["doubt"]["piano"] is None
    assert told.words("sax") == "much of its sound is shared with others; listen closely"
    halves = {"sax": 0.5, "rest": 0.5}
    left = Trust(halves, halves, np.ones(1), evidence=dict.fromkeys(halves, (0.1, 3.0)))
    assert left.doubt("rest") is None
    assert left.words("rest") == "what no other stem claims, whatever it is"
    assert left.words("sax").startswith("this may well be wrong")
    tiny = doubted(0.5, {"sax": (0.1, 3.0)}, energy_share={"sax": 0.001, "piano": 0.999})
    assert tiny.words("sax").startswith("this is nearly nothing")


def test_one_against_the_rest_is_doubted_as_among_all():
    told = doubted(0.5, {"sax": (0.3, 2.0), "piano": (0.9, 0.1)})
    one = told.against_rest("sax")
    assert one.words("sax") == told.words("sax")
    assert list(one.to_dict()["doubt"].values()) == [told.doubt("sax"), None]


def test_the_shell_and_the_page_say_the_same_of_what_is_explained():
    """A soft second counts little, and is not named as the least explained one."""
    trust = Trust({"a": 1.0}, {"a": 0.0}, np.array([0.9, 0.7, 0.0]), np.array([0.55, 0.44, 0.01]))
    whole, worst, least = trust.summary()
    assert whole == pytest.approx(0.9 * 0.55 + 0.7 * 0.44)
    assert (worst, least) == (1, 0.7)
    assert f"{whole:.0%} of the mixture; least at 1 s (70%)" in trust.to_text()
    assert Trust({"a": 1.0}, {"a": 0.0}, np.array([np.nan])).summary() is None


def decomposition(**changes):
    stft = STFT(16, 4)
    W = np.random.default_rng(0).random((9, 3)).astype(np.float32)
    return Decomposition(**{
        "templates": Templates(W, ("x", "y", "z"), stft, RATE), "grouping": {"a": (2, 0), "b": (1,)},
        "settings": Settings(), "mixture": Mixture("", "", 1, 100), "divergence": np.empty(0),
        "reason": "", **changes,
    })  # fmt: skip


def test_what_is_known_of_stems_comes_from_the_decomposition():
    """By examples what voters say, blind that components are shared, else nothing; hands drop it."""
    evidence = np.float32([[0.25, 1], [0.5, 3]])
    voters = Voters(np.ones((9, 2), np.float32), leanings=np.zeros((2, 2), np.float32))
    shares = np.float32([[1, 0.25, 0.75], [0, 0.75, 0.25]])

    def known(**changes):
        return TrustMeter.of(decomposition(**changes)).result().evidence

    told = decomposition(voters=dataclasses.replace(voters, evidence=evidence))
    assert TrustMeter.of(told).result().evidence == {"a": (0.25, 0.5), "b": (1, 3)}
    assert known(shares=shares, residual="c") == {"a": (), "b": ()}
    assert known() == known(voters=voters) == known(residual="c") == {}
    assert TrustMeter.of(told.regroup({"b": (0, 1), "a": (2,)})).result().evidence == {}
    turned = told.voters.ordered([1, 0])
    np.testing.assert_array_equal(turned.evidence, evidence[:, ::-1])


def played(keys, partials, fall, shake=0.0):
    """Return half a second of each key at 16 kHz, by an instrument with these partials."""
    time = np.arange(RATE) / (2 * RATE)
    found = []
    for key in keys:
        phase = (
            2 * np.pi * 440 * 2 ** ((key - 69) / 12) * (time + shake * np.sin(10 * np.pi * time))
        )
        note = sum(level * np.sin(k * phase) for k, level in enumerate(partials, 1))
        found.append(note * np.exp(-fall * time) * np.minimum(1, 60 * time))
    return (0.1 * np.concatenate(found)).astype(np.float32)


REED, BELL = [1, 0, 0.6, 0, 0.5, 0, 0.3, 0, 0.2], [0.2, 1, 0.1, 0.8, 0, 0, 0.6]
FIDDLE = [1 / k for k in range(1, 13)]


def test_an_example_of_another_instrument_makes_stems_that_are_doubted():
    """The same two lines, and examples of both, or of a bell in place of the reed."""
    lines = {
        "reed": played([60, 64, 67, 65, 62, 69, 67, 64], REED, 0.5),
        "fiddle": played([72, 70, 69, 67, 70, 74, 72, 69], FIDDLE, 3, 2e-4),
    }
    fiddle = played([69, 71, 74, 72, 67, 70], FIDDLE, 3, 2e-4)
    right = played([62, 65, 60, 64, 69, 67], REED, 0.5)
    wrong = played([79, 86, 82, 85, 77, 83], BELL, 12)
    for example, doubted in ((right, False), (wrong, True)):
        found = audionmf.separate(
            sum(lines.values()), examples={"reed": example, "fiddle": fiddle}, sample_rate=2 * RATE
        )
        score = audionmf.evaluate.si_sdr(lines["reed"][None], found.sources["reed"])
        assert (score < 3) == doubted
        assert found.trust.words("reed").startswith("this may well be wrong") == doubted
        assert (found.trust.doubt("reed") > 0.6) == doubted
        assert "may well be wrong" not in found.trust.words("fiddle")
