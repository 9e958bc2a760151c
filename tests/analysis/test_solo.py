"""Sources learnt from where they play alone in the mixture, and told to be silent elsewhere."""

import dataclasses
import json
import re

import numpy as np
import pytest
from conftest import RATE, files_below, sound, steps

import audionmf
from audionmf import (
    STFT,
    AudioFile,
    Decomposition,
    InvalidAudioError,
    ParameterError,
    TemplateError,
)
from audionmf.analysis import evidence
from audionmf.analysis.evidence import left_by_others
from audionmf.evaluate.measures import si_sdr
from audionmf.rendering.absent import absent_frames

DARK = (1.0, 0.5, 0.3, 0.2)
BRIGHT = (0.1, 0.1, 0.6, 1.0, 0.8, 0.5)
SOLO = {"dark": [(0, 1.5)], "bright": [(1.5, 3)]}
HALF = 0.064  # of the window that this rate gets


def melody(partials, notes, n_samples=6 * RATE):
    """Play decaying harmonic tones, each given as pitch in Hz, start and length in seconds."""
    samples = np.zeros(n_samples)
    for pitch, start, length in notes:
        first = round(start * RATE)
        seconds = np.arange(min(round(length * RATE), n_samples - first)) / RATE
        tone = sum(
            amplitude * np.sin(2 * np.pi * pitch * (k + 1) * seconds)
            for k, amplitude in enumerate(partials)
        )
        samples[first : first + len(seconds)] += tone * np.exp(-2 * seconds)
    return samples


def part(samples, start, end):
    """Return what is between two times in seconds."""
    return samples[..., round(start * RATE) : round(end * RATE)]


def decibels(error, reference):
    energy = np.linalg.norm(np.asarray(reference, np.float64))
    return 20 * np.log10(np.linalg.norm(np.asarray(error, np.float64)) / energy + 1e-30)


def mean_score(truth, sources):
    return np.mean(
        [si_sdr(part(a, 3, 6), part(b, 3, 6)) for a, b in zip(truth, sources, strict=True)]
    )


def assert_sums(stems, mixture):
    total = np.sum([stem.astype(np.float64) for stem in stems.sources.values()], axis=0)
    assert decibels(total - mixture, mixture) < -120


@pytest.fixture(scope="module")
def truth():
    """Return a dark instrument that plays in 0 … 1.5 s, a bright one in 1.5 … 3 s, both in 3 … 6 s.

    Both stand a little to a side.
    """
    dark = [(98, 0, 0.5), (110, 0.5, 0.5), (147, 1, 0.5)]
    bright = [(294, 1.5, 0.5), (330, 2, 0.5), (392, 2.5, 0.5)]
    dark += [(110, 3, 1), (147, 3.7, 1.1), (98, 4.7, 1.3)]
    bright += [(330, 3.4, 1), (392, 4.2, 1), (294, 5.1, 0.9)]
    low, high = melody(DARK, dark), melody(BRIGHT, bright)
    stems = np.stack([np.stack([low, 0.7 * low]), np.stack([0.6 * high, high])])
    return (0.2 * stems).astype(np.float32)


@pytest.fixture(scope="module")
def mixture(truth):
    return truth.sum(axis=0)


@pytest.fixture(scope="module")
def stems(mixture):
    return audionmf.separate(mixture, solo=SOLO, sample_rate=RATE)


@pytest.fixture
def file(tmp_path, mixture):
    return sound(tmp_path / "in" / "mix.wav", mixture)


# What solo ranges give


def test_sources_are_learnt_from_where_they_play_alone(truth, mixture, stems):
    assert list(stems.sources) == ["dark", "bright"]
    assert_sums(stems, mixture)
    blind = audionmf.separate(mixture, n_sources=2, sample_rate=RATE).sources.values()
    best_blind = max(mean_score(truth, order) for order in (tuple(blind), tuple(blind)[::-1]))
    score = mean_score(truth, stems.sources.values())
    assert score > 10
    assert score > best_blind + 3


def test_where_a_source_plays_alone_its_stem_is_exact(truth, mixture, stems):
    for j, name in enumerate(SOLO):
        start, end = SOLO[name][0]
        other = list(SOLO)[1 - j]
        inside = (start + HALF * (start > 0), end - HALF)
        alone = part(truth[j], *inside)
        assert decibels(part(stems.sources[name], *inside) - alone, alone) < -130
        assert decibels(part(stems.sources[other], *inside), alone) < -130
    plain = audionmf.separate(
        mixture,
        examples={name: part(mixture, *ranges[0]) for name, ranges in SOLO.items()},
        sample_rate=RATE,
    )
    alone = part(truth[0], 0, 1.4)
    assert decibels(part(plain.sources["bright"], 0, 1.4), alone) > -120  # nobody told it


def test_solo_ranges_are_the_same_as_examples_cut_from_the_mixture(mixture, stems):
    examples = {name: part(mixture, *ranges[0]) for name, ranges in SOLO.items()}
    absent = {"dark": SOLO["bright"], "bright": SOLO["dark"]}
    cut = audionmf.separate(mixture, examples=examples, absent=absent, sample_rate=RATE)
    for name, stem in stems.sources.items():
        np.testing.assert_array_equal(stem, cut.sources[name])


@pytest.mark.parametrize("way", ["example", "templates"])
def test_solo_ranges_go_with_other_ways(truth, mixture, way):
    example = melody(BRIGHT, [(294, 0, 1), (330, 1, 1), (392, 2, 1)], 3 * RATE).astype(np.float32)
    if way == "example":
        known = {"examples": {"bright": example}}
    else:
        known = {"templates": audionmf.learn(example, "bright", sample_rate=RATE)}
    stems = audionmf.separate(mixture, solo={"dark": SOLO["dark"]}, sample_rate=RATE, **known)
    assert list(stems.sources) == ["bright", "dark"]
    assert_sums(stems, mixture)
    assert mean_score(truth, [stems.sources["dark"], stems.sources["bright"]]) > 10


def test_a_solo_range_adds_to_an_example_of_the_same_source(mixture):
    example = melody(DARK, [(200, 0, 1)], RATE).astype(np.float32)
    options = {"sample_rate": RATE, "adapt_iter": 0, "n_components": 40}
    found = audionmf.analyse(
        mixture, examples={"dark": audionmf.Audio(example, RATE)}, solo=SOLO, **options
    )
    peaks = np.argmax(found.templates.templates[:, :40], axis=0) * RATE / found.templates.stft.n_fft
    assert found.templates.labels == ("dark",) * 40 + ("bright",) * 40
    assert (np.abs(peaks - 200) < 10).any()
    assert (np.abs(peaks - 98) < 10).any()


def test_free_components_and_the_residual_are_absent_where_a_source_is_alone(truth, mixture):
    stems = audionmf.separate(
        mixture, solo={"dark": SOLO["dark"]}, free=8, residual="rest", sample_rate=RATE, max_iter=60
    )
    assert list(stems.sources) == ["dark", "other", "rest"]
    assert_sums(stems, mixture)
    alone = part(truth[0], 0, 1.5 - HALF)
    for name in ("other", "rest"):
        assert decibels(part(stems.sources[name], 0, 1.5 - HALF), alone) < -100
    assert si_sdr(part(truth[1], 1.6, 2.9), part(stems.sources["other"], 1.6, 2.9)) > 10


@pytest.mark.parametrize("free", [0, 6])
def test_templates_of_a_source_do_not_play_in_the_analysis_where_it_is_absent(
    mixture, monkeypatch, free
):
    """See that what the equalisers are fitted to has zeros there, from the start to the end."""
    from audionmf.analysis import by_example as analysis

    fits = []

    def spy(function):
        def call(V, *arguments, **options):
            fits.append(function(V, *arguments, **options))
            return fits[-1]

        return call

    monkeypatch.setattr(analysis, "fit_equalised", spy(analysis.fit_equalised))
    monkeypatch.setattr(analysis.nmf, "fit", spy(analysis.nmf.fit))
    options = {"sample_rate": RATE, "max_iter": 30, "exemplars": False}
    found = audionmf.analyse(mixture, solo=SOLO, free=free, **options)
    assert len(fits) == 1 + (free > 0)
    every = range(found.templates.stft.n_frames(6 * RATE))
    absent = absent_frames(found.absent, found.templates.labels, every)
    assert absent.any(axis=1).all()
    assert not fits[-1].activations[absent].any()
    assert fits[-1].activations[~absent].any()
    if free:
        absent = absent_frames(found.absent, ["other"], every)[0]
        other = fits[0].activations[-free:]
        assert not other[:, absent].any()
        assert other[:, ~absent].any()


def test_solo_passages_of_a_long_recording_are_found_among_the_thinned_frames(mixture, monkeypatch):
    from audionmf.analysis import by_example as analysis

    monkeypatch.setattr(analysis, "_ADAPT_FRAMES", 50)  # of 189
    options = {"sample_rate": RATE, "exemplars": False}
    stems = audionmf.separate(mixture, solo=SOLO, **options)
    assert_sums(stems, mixture)
    asked = []
    original = analysis.absent_frames
    monkeypatch.setattr(
        analysis, "absent_frames", lambda *given: asked.append(given[2]) or original(*given)
    )
    audionmf.analyse(mixture, solo=SOLO, **options)
    assert asked == [range(0, 192, 4)]


# Absent ranges


@pytest.fixture(
    scope="module", params=[{}, {"adapt_iter": 0}, {"adapt_iter": 0, "beta": 2.0}], ids=str
)
def before(request, mixture):
    """Return options, and the stems that they give where no source is absent."""
    options = {"solo": SOLO, "sample_rate": RATE, **request.param}
    return options, audionmf.separate(mixture, **options)


@pytest.mark.parametrize("name", ["dark", "bright"])  # the last stem is what the first one leaves
def test_a_stem_is_silent_where_its_source_is_absent(mixture, before, name):
    options, before = before
    absent = {name: [(4, 5), (5.5, 6)]}
    stems = audionmf.separate(mixture, absent=absent, **options)
    assert_sums(stems, mixture)
    for start, end in ((4 + HALF, 5 - HALF), (5.5 + HALF, 6)):
        level = part(mixture, start, end)
        assert decibels(part(stems.sources[name], start, end), level) < -100
        assert decibels(part(before.sources[name], start, end), level) > -40
    assert decibels(part(stems.sources[name], 3, 4), part(mixture, 3, 4)) > -20


def test_the_others_share_what_none_of_them_knows(mixture):
    """Where the models of all sources are zero, an absent one still gets nothing."""
    band = {}
    stft = STFT(1024, 256)
    for name, bins in {"a": slice(0, 20), "b": slice(20, 40), "c": slice(40, 60)}.items():
        W = np.zeros((513, 1), np.float32)
        W[bins] = 0.05
        band[name] = audionmf.Templates(W, (name,), stft, RATE)
    options = {"templates": list(band.values()), "sample_rate": RATE, "adapt_iter": 0}
    absent = {"b": [(2, 4)]}
    stems = audionmf.separate(mixture, absent=absent, **options)
    assert_sums(stems, mixture)
    assert decibels(part(stems.sources["b"], 2.1, 3.9), mixture) < -100
    regrouped = stems.decomposition.regroup({"x": (0,), "y": (1,), "z": (2,)})
    again = audionmf.render(mixture, regrouped, sample_rate=RATE)
    assert decibels(part(again.sources["y"], 2.1, 3.9), mixture) < -100
    X = {name: stft.forward(stem)[:, 200, 70:120] for name, stem in stems.sources.items()}
    np.testing.assert_allclose(X["a"], X["c"], rtol=0, atol=1e-5)
    half = stft.forward(mixture)[:, 200, 70:120] / 2
    np.testing.assert_allclose(X["a"], half, rtol=0, atol=1e-5)
    assert np.abs(half).max() > 1e-3


def test_templates_play_as_if_the_absent_were_not_there(stems, mixture):
    found = stems.decomposition
    stft, labels = found.templates.stft, np.array(found.templates.labels)
    V = np.sqrt((np.abs(stft.forward(mixture)) ** 2).mean(axis=0))
    H = found.activate(V, 1)
    first, stop = found.absent["dark"][0]
    bright = np.flatnonzero(labels == "bright")
    assert not H[labels == "dark", first:stop].any()
    W = found.templates.templates[:, bright]
    alone = dataclasses.replace(
        found,
        templates=dataclasses.replace(
            found.templates, templates=W, labels=("bright",) * W.shape[1]
        ),
        grouping={"bright": tuple(range(W.shape[1]))},
        penalties=found.penalties[bright],
        activations=None,
        covariances=None,
        context=found.context[:, bright],
        voters=None,
        absent={},
    )
    expected = alone.activate(V[:, first:stop], 1)
    np.testing.assert_array_equal(H[np.ix_(bright, range(first, stop))], expected)
    assert H[labels == "dark", stop:].any()


def test_frames_keep_their_places_from_block_to_block(stems, mixture):
    found = dataclasses.replace(stems.decomposition, activations=None)
    V = np.abs(found.templates.stft.forward(mixture)).mean(axis=0)
    whole = found.source_models(0, V)
    for first in (0, 40, 47, 90, 150):
        before, after = min(found.reach, first), min(found.reach, V.shape[1] - first - 30)
        around = V[:, first - before : first + 30 + after]
        part_of_it = found.source_models(first, around, (before, after))
        np.testing.assert_allclose(
            part_of_it, whole[..., first : first + 30], atol=1e-4 * whole.max(), rtol=0
        )
        np.testing.assert_array_equal(
            part_of_it.any(axis=1), whole[..., first : first + 30].any(axis=1)
        )


def test_the_number_of_threads_does_not_matter(mixture, stems):
    again = audionmf.separate(mixture, solo=SOLO, sample_rate=RATE, n_threads=1)
    for name, stem in stems.sources.items():
        np.testing.assert_array_equal(stem, again.sources[name])


def test_ranges_in_which_others_play_on_are_told_and_true_ones_are_not(mixture, stems):
    again = np.tile(part(mixture, 3, 6), 2)
    found = audionmf.analyse(
        again, solo={"dark": [(0, 1.5)], "bright": [(3.1, 4.6)]}, sample_rate=RATE
    )
    line = "where 'dark' and 'bright' are said to play alone, nearly the same is heard: "
    assert [told for told in found.remarks if told.startswith(line)]
    assert not [told for told in stems.decomposition.remarks if "said to play alone" in told]


def test_a_range_that_begins_with_a_long_silence_says_nothing_and_ends_nothing(monkeypatch):
    monkeypatch.setattr("audionmf.analysis.learning.MOST_SOUND_FRAMES", 8)
    low, high = melody(DARK, [(110, 2, 3)]), melody(BRIGHT, [(330, 0, 1)])
    found = audionmf.analyse(
        (low + high).astype(np.float32),
        solo={"dark": [(1.2, 5)], "bright": [(0, 1)]}, sample_rate=RATE,
    )  # fmt: skip
    assert not [told for told in found.remarks if "said to play alone" in told]


def test_of_many_frames_and_sources_some_are_compared(monkeypatch):
    sizes, activate = [], evidence.nmf.activate
    monkeypatch.setattr(
        evidence.nmf, "activate",
        lambda V, W, **rest: sizes.append((V.shape[1], W.shape[1])) or activate(V, W, **rest),
    )  # fmt: skip
    sound = np.random.default_rng(0).random((6, 500), np.float32)
    left_by_others([sound] * 2)
    left_by_others([sound[:, :7]] * 40)
    assert sizes[:2] == [(100, 100)] * 2
    assert sizes[2] == (7, 273)
    left_by_others([sound] * 40)
    assert sizes[-1] == (13, 39 * 13)


def test_what_the_frames_of_others_leave():
    low, high = np.eye(6, dtype=np.float32)[:, :3], np.eye(6, dtype=np.float32)[:, 3:]
    silent = np.zeros((6, 1), np.float32)
    assert left_by_others([low, np.concatenate([3 * low, silent], axis=1)]) < 1e-4
    assert 0.1 < left_by_others([low, low + 0.3 * high]) < left_by_others([low, high])


def test_neither_the_mixture_nor_the_ranges_are_modified(mixture):
    before, solo = mixture.copy(), {"dark": [[0, 1.5]], "bright": [[1.5, 3]]}
    audionmf.analyse(mixture, solo=solo, sample_rate=RATE, adapt_iter=2)
    np.testing.assert_array_equal(mixture, before)
    assert solo == {"dark": [[0, 1.5]], "bright": [[1.5, 3]]}


# Models


def test_a_model_keeps_the_absent_ranges(tmp_path, mixture, stems):
    loaded = Decomposition.load(stems.decomposition.save(tmp_path / "m.npz"))
    assert loaded.absent == stems.decomposition.absent
    assert loaded.absent["bright"] == ((0, 47),)
    again = audionmf.render(mixture, loaded, sample_rate=RATE)
    for name, stem in stems.sources.items():
        np.testing.assert_array_equal(stem, again.sources[name])


def test_components_stay_absent_in_other_groups(mixture, stems):
    found = stems.decomposition
    bright = found.grouping["bright"]
    regrouped = found.regroup({"one": bright[::2], "two": bright[1::2], "mixed": (0,)})
    again = audionmf.render(mixture, regrouped, sample_rate=RATE)
    assert_sums(again, mixture)
    for name in ("one", "two"):
        assert decibels(part(again.sources[name], 0, 1.5 - HALF), mixture) < -100
        assert decibels(part(again.sources[name], 3, 6), mixture) > -30
    mixed = found.regroup({"mixed": (found.grouping["dark"][0], *bright)})
    again = audionmf.render(mixture, mixed, sample_rate=RATE)
    assert_sums(again, mixture)


def test_where_no_source_is_left_they_all_share(mixture, stems):
    runs = ((20, 100),)
    found = dataclasses.replace(
        stems.decomposition,
        absent={"dark": runs, "bright": runs},
        activations=None,
        covariances=None,
    )
    again = audionmf.render(mixture, found, sample_rate=RATE)
    assert_sums(again, mixture)
    assert decibels(part(again.sources["dark"], 1, 2) * 2 - part(mixture, 1, 2), mixture) < -100


@pytest.mark.parametrize("run", [(-1, 3), (3, 3), (4, 3), (0, 190)])
def test_runs_that_are_not_in_the_recording_are_refused(tmp_path, stems, run):
    with pytest.raises(TemplateError, match="within the 189 there are"):
        dataclasses.replace(stems.decomposition, absent={"dark": (run,)})


@pytest.mark.parametrize(
    "text", ['[["dark", [[0]]]]', '[["dark", 3]]', '[["dark", [["x", 2]]]]', "4"]
)
def test_a_model_with_other_things_for_runs_is_refused(tmp_path, stems, text):
    from audionmf.io.archive import write_archive
    from audionmf.rendering.decomposition import MODEL_KIND

    path = stems.decomposition.save(tmp_path / "m.npz")
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name != "metadata"}
        metadata = json.loads(str(file["metadata"]))
    kept = {k: v for k, v in metadata.items() if k not in ("format", "version")}
    write_archive(path, MODEL_KIND, arrays, kept | {"absent": json.loads(text)})
    with pytest.raises(TemplateError, match=r"lacks a part of a model|is not a whole one"):
        Decomposition.load(path)
    del kept["absent"]  # as models were before there were such ranges
    write_archive(path, MODEL_KIND, arrays, kept)
    assert Decomposition.load(path).absent == {}


# Refusals


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"solo": SOLO, "n_sources": 2}, "leave it out with templates, examples or ranges"),
        ({"absent": {"dark": [(0, 1)]}, "n_sources": 2}, "where a source does not play go with"),
        ({"absent": {"dark": [(0, 1)]}}, "go with templates, examples or solo ranges"),
        ({"solo": {"a": [(0, 1)], "b": [(0.5, 2)]}}, "overlap; only one can play alone"),
        ({"solo": SOLO, "absent": {"dark": [(1, 2)]}}, "'dark' from 0 to 1.5 s, where it plays"),
        ({"solo": SOLO, "absent": {"x": [(1, 2)]}}, "names no source; there are 'dark', 'bright'"),
        ({"solo": {"dark": [(5, 7)]}}, "'dark' from 5 to 7 s is not inside the array"),
        ({"solo": {"dark": [(5, 5.1)]}}, "800 samples, less than one window of 1024"),
        (
            {"solo": SOLO, "absent": {"dark": [(4, 5)], "bright": [(4, 5)]}},
            "no source is left to play",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(mixture, given, words):
    with pytest.raises(ParameterError, match=re.escape(words)):
        audionmf.separate(mixture, sample_rate=RATE, **given)


def test_silence_is_nothing_to_learn_from(mixture):
    silent = np.concatenate([mixture, np.zeros((2, RATE), np.float32)], axis=1)
    with pytest.raises(InvalidAudioError, match=r"silent from 6\.2 to 6\.9 s, where 'x'"):
        audionmf.separate(silent, solo={**SOLO, "x": [(6.2, 6.9)]}, sample_rate=RATE)


# At the shell


def test_solo_at_the_shell(run, file, tmp_path, stems, mixture):
    out = tmp_path / "out"
    arguments = ("--solo", "dark=0-1", "--solo", "dark=0:00.9-0:01.5", "--solo", "bright=1.5-3")
    code, text, err = run("separate", file, *arguments, "-o", out, "--json")
    assert (code, err) == (0, "")
    assert list(json.loads(text)["stems"]) == ["dark", "bright"]
    assert files_below(out) == ["mix/bright.wav", "mix/dark.wav", "mix/manifest.json"]
    for name, stem in stems.sources.items():
        assert np.abs(steps(out / "mix" / f"{name}.wav") - stem).max() < 2e-3
    assert np.abs(sum(map(steps, out.rglob("*.wav"))) - steps(file)).max() <= 2.0**-14


def test_labels_at_the_shell(run, file, tmp_path):
    labels, out = tmp_path / "labels.txt", tmp_path / "out"
    labels.write_text("0\t1.5\tdark\n\\\t90\t200\n1.5\t3\tbright\n4\t5\t!bright\n")
    code, _, err = run("separate", file, "--labels", labels, "-o", out)
    assert (code, err) == (0, "")
    bright = steps(out / "mix" / "bright.wav")
    assert not part(bright, 0, 1.4).any()
    assert not part(bright, 4.1, 4.9).any()
    assert part(bright, 3, 3.9).any()


def test_only_works_with_solo(run, file, tmp_path):
    arguments = ("--solo", "dark=0-1.5", "--solo", "bright=1.5-3", "--only", "bright")
    assert run("separate", file, *arguments, "-o", tmp_path / "out")[0] == 0
    assert files_below(tmp_path / "out") == ["mix/bright.wav", "mix/manifest.json", "mix/rest.wav"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--solo", "dark"), 2, "NAME=START-END"),
        (("--solo", "dark=0-1.5", "--solo", "bright=1-3"), 2, "overlap"),
        (("--solo", "dark=0-1.5", "--n-sources", "2"), 2, "leave it out"),
        (("--solo", "dark=5-9"), 2, "which is 6 s long"),
        (("--solo", "dark=5-5.01"), 2, "less than one window"),
        (("other.wav", "--solo", "dark=0-1"), 2, "give one input"),
        (("--labels", "none.txt"), 3, "'none.txt': there is no such file"),
        (("--labels", "bad.txt"), 2, "'bad.txt', line 2: 'x' is not a time"),
        (("--labels", "absent.txt"), 2, "go with templates, examples or solo ranges"),
        (("--labels", "absent.txt", "--n-sources", "2"), 2, "where a source does not play"),
    ],
)
def test_errors_are_one_line_with_a_code(run, file, tmp_path, monkeypatch, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.txt").write_text("0\t1\tdark\nx\t1\tbright\n")
    (tmp_path / "absent.txt").write_text("0\t1\t!dark\n")
    found, _, err = run("separate", file, *arguments, "-o", tmp_path / "out")
    assert found == code
    assert re.fullmatch(r"audionmf[^\n]*\n", err), err
    assert words in err
    assert not [name for name in files_below(tmp_path) if name.startswith("out/")]


def test_stems_do_not_overwrite_the_labels(run, file, tmp_path):
    labels = tmp_path / "out" / "mix" / "dark.wav"
    labels.parent.mkdir(parents=True)
    labels.write_text("0\t1.5\tdark\n1.5\t3\tbright\n")
    code, _, err = run("separate", file, "--labels", labels, "-o", tmp_path / "out")
    assert code == 4
    assert "would overwrite the input" in err
    assert labels.read_text().startswith("0")


def test_a_file_gives_the_same_as_its_samples(file):
    in_memory = audionmf.analyse(audionmf.read(file), solo=SOLO)
    on_disk = audionmf.analyse(AudioFile(file), solo=SOLO)
    np.testing.assert_array_equal(in_memory.templates.templates, on_disk.templates.templates)
    assert in_memory.absent == on_disk.absent
