"""Different things known of different sources: all of it is used, in one sum."""

import numpy as np
import pytest
from conftest import RATE
from scores import band, play

import audionmf
from audionmf import Known
from audionmf.analysis import by_several
from audionmf.errors import LimitError, ParameterError
from audionmf.evaluate.measures import si_sdr
from audionmf.io.audio import Audio
from audionmf.nmf import beta_divergence, kernels, sums
from audionmf.sources.score import read_score

SECONDS = 5.0
STRENGTHS = {"bass": (0.6, 1, 0.8, 0.6, 0.4, 0.3), "organ": (1, 0.1, 0.8, 0.1, 0.6), "drums": ()}
BASS = [
    (0.1 + 0.5 * i, 0.55 + 0.5 * i, key) for i, key in enumerate((36, 40, 43, 45, 40, 36, 43, 36))
]
ORGAN = [(0.2 + 0.6 * i, 0.75 + 0.6 * i, key) for i, key in enumerate((60, 64, 62, 65, 67, 64, 60))]
DRUMS = [(0.3 + 0.45 * i, 0.42 + 0.45 * i, 36) for i in range(10)]


def sung(n):
    """Return a voice that glides, with vibrato and two formants; it is silent after 3.5 s."""
    time = np.arange(n) / RATE
    hertz = 440 * 2 ** ((2 * np.sin(1.3 * time) + 0.3 * np.sin(34 * time)) / 12)
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    partials = (
        (np.exp(-(((k * hertz - 900) / 300) ** 2)) + 0.15) * np.sin(k * phase) for k in range(1, 8)
    )
    return 0.25 * sum(partials) * (time < 3.5)


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    """Path of a score of the bass and the drums, the stems, and examples of other notes."""
    folder = tmp_path_factory.mktemp("song")
    every, other, path = folder / "every.mid", folder / "other.mid", folder / "score.mid"
    every.write_bytes(band(bass=BASS, organ=ORGAN, drums=DRUMS))
    others = [(on + 0.05, off, key + 1) for on, off, key in ORGAN]
    other.write_bytes(band(organ=others, drums=DRUMS[:3]))
    path.write_bytes(band(bass=BASS))
    stems = play(read_score(every), SECONDS, RATE, STRENGTHS)
    stems["singer"] = sung(len(stems["bass"]))
    examples = play(read_score(other), SECONDS, RATE, STRENGTHS)
    return (
        path,
        {name: Audio(stem[None].astype(np.float32), RATE) for name, stem in stems.items()},
        {name: Audio(stem[None].astype(np.float32), RATE) for name, stem in examples.items()},
    )


def mixed(stems, *names):
    return Audio(sum(stems[name].samples for name in names), RATE)


def gained(stems, found, *names):
    """Return by how many dB stems are better than the mixture."""
    mixture = mixed(stems, *names).samples
    truth = {name: stems[name].samples for name in names}
    assert np.abs(sum(found.sources.values()) - mixture).max() <= 1e-6 * np.abs(mixture).max()
    return {
        name: float(si_sdr(truth[name], stem) - si_sdr(truth[name], mixture))
        for name, stem in found.sources.items()
        if name in truth
    }


def test_an_example_is_a_source_beside_the_parts_of_a_score(song):
    path, stems, examples = song
    names = ("bass", "organ")
    mixture = mixed(stems, *names)
    found = audionmf.separate(mixture, midi=path, examples={"organ": examples["organ"]})
    assert list(found.sources) == ["bass", "organ"]
    assert "no part 'organ'" in found.decomposition.remarks[0]
    assert min(gained(stems, found, *names).values()) > 8
    silent = Known(example=Audio(examples["drums"].samples, RATE))
    other = audionmf.separate(mixture, midi=path, sources={"organ": silent})
    assert not np.allclose(found.sources["organ"], other.sources["organ"])  # the example is used
    other = audionmf.separate(
        mixture, sources={"bass": Known(free=8), "organ": Known(example=examples["organ"])}
    )
    assert not np.allclose(found.sources["bass"], other.sources["bass"])  # and so is the score


def test_free_components_stand_beside_a_score(song):
    path, stems, _ = song
    found = audionmf.separate(mixed(stems, "bass", "organ"), midi=path, free=8)
    assert list(found.sources) == ["bass", "other"]
    assert gained(stems, found, "bass", "organ")["bass"] > 5
    assert found.decomposition.keys.count(-1) >= 8


def test_a_score_of_one_part_leaves_a_rest(song):
    path, stems, _ = song
    found = audionmf.separate(mixed(stems, "bass", "organ"), midi=path)
    assert list(found.sources) == ["bass", "rest"]
    assert gained(stems, found, "bass", "organ")["bass"] > 5


def test_notes_keep_still_where_their_source_is_known_to_be_silent(song):
    path, stems, _ = song
    account = {
        "bass": Known(absent=[(0.0, 1.5)]),
        "singer": Known(voice=True, absent=[(2.0, 3.0)]),
    }
    found = audionmf.separate(mixed(stems, "bass", "singer"), midi=path, sources=account)
    model = found.decomposition
    rate = RATE / model.templates.stft.hop_length
    for name, middle in (("bass", 0.75), ("singer", 2.5)):  # in the fit, not only in the stems
        H = model.activations[list(model.grouping[name])]
        assert H.any()
        assert not H[:, int((middle - 0.3) * rate) : int((middle + 0.3) * rate)].any()


def test_a_lead_beside_a_score(song):
    path, stems, _ = song
    found = audionmf.separate(
        mixed(stems, "bass", "singer"), midi=path, sources={"singer": Known(voice=True)}
    )
    assert min(gained(stems, found, "bass", "singer").values()) > 5
    assert "the lead is mostly between" in found.decomposition.remarks[-1]


def test_a_lead_over_an_accompaniment_of_which_there_is_an_example(song):
    _, stems, examples = song
    mixture = mixed(stems, "organ", "singer")
    account = {"singer": Known(voice=True), "organ": Known(example=examples["organ"])}
    found = audionmf.separate(mixture, sources=account)
    alone = audionmf.separate(mixture, lead=True)
    told = gained(stems, found, "organ", "singer")
    plain = si_sdr(stems["singer"].samples, alone.sources["lead"])
    assert si_sdr(stems["singer"].samples, found.sources["singer"]) > plain - 4
    assert min(told.values()) > 5


def test_a_pattern_frames_a_voice_and_notes_in_one_sum(song):
    """Of each source something else is known; a drum is a pattern where that leaves less."""
    path, stems, examples = song
    names = ("bass", "organ", "drums", "singer")
    account = {
        "organ": Known(example=examples["organ"]),
        "drums": Known(example=examples["drums"]),
        "singer": Known(voice=True, absent=[(3.6, 5.0)]),
    }
    found = audionmf.separate(mixed(stems, *names), midi=path, sources=account, model="patterns")
    assert set(found.sources) == set(names)
    assert min(gained(stems, found, *names).values()) > 2
    late = slice(int(3.8 * RATE), int(4.8 * RATE))
    assert np.abs(found.sources["singer"][:, late]).max() < 1e-3
    frames = audionmf.separate(mixed(stems, *names), midi=path, sources=account, model="frames")
    assert not np.allclose(frames.sources["drums"], found.sources["drums"])


def sung_over_drums(song):
    """Analyse two seconds of a voice and a drum that is a pattern: neither has a prior."""
    _, stems, examples = song
    account = {"singer": Known(voice=True), "drums": Known(example=examples["drums"])}
    short = Audio(mixed(stems, "singer", "drums").samples[:, : 2 * RATE], RATE)
    return audionmf.analyse(short, sources=account, model="patterns")


def test_a_voice_beside_patterns_is_fitted_with_momentum(song):
    fell = sung_over_drums(song).divergence
    assert len(fell) == 21
    assert fell[-1] < 0.91 * fell[0]  # without momentum 0.96 is left after as many


def test_where_momentum_leads_a_voice_and_patterns_uphill_all_of_it_is_taken_back(
    song, monkeypatch
):
    """Each step after one uphill begins where the last step downhill had come to."""
    fit, descend, extrapolate = by_several.fit_sum, sums.descend, kernels.extrapolate
    fitted, begun, ended = [], [], []

    def left():
        V, models = fitted[-1]
        return beta_divergence(V.T, sum(model.part(slice(0, V.shape[1]))[0] for model in models))

    def fit_told(V, models, **options):
        fitted.append((V / 2 ** np.floor(np.log2(V.max())), models))  # at the level of the fit
        return fit(V, models, **options)

    def descend_told(watch, step, **options):
        def told():
            begun.append(step())
            ended.append(left())
            return begun[-1]

        begun.clear()
        ended.clear()
        descend(watch, told, **options)

    def far(x, before, b):
        extrapolate(x, before, b**0.03)

    monkeypatch.setattr(by_several, "fit_sum", fit_told)
    monkeypatch.setattr(sums, "descend", descend_told)
    monkeypatch.setattr(kernels, "extrapolate", far)
    sung_over_drums(song)
    lowest, n_uphill = begun[0], 0
    for i, value in enumerate(begun[:-1]):
        if value > lowest:
            n_uphill += 1
            assert begun[i + 1] == pytest.approx(ended[i - 1], rel=1e-6)
            assert ended[i] != pytest.approx(ended[i - 1], rel=1e-6)
        lowest = min(lowest, value)
    assert n_uphill > 0


def test_stems_are_the_same_for_any_number_of_threads(song):
    path, stems, examples = song
    account = {"singer": Known(voice=True), "organ": Known(example=examples["organ"])}
    short = Audio(mixed(stems, "bass", "singer").samples[:, : 2 * RATE], RATE)
    one, two = (
        audionmf.separate(short, midi=path, sources=account, n_threads=n, n_fft=512) for n in (1, 2)
    )
    for name, stem in one.sources.items():
        assert np.array_equal(stem, two.sources[name])


def test_what_cannot_be_is_refused(song):
    path, stems, _ = song
    mixture = mixed(stems, "bass", "singer")
    singers = {"a": Known(voice=True), "b": Known(voice=True)}
    with pytest.raises(ParameterError, match="one voice can lead at a time"):
        audionmf.separate(mixture, sources=singers)
    with pytest.raises(ParameterError, match="under beta 1"):
        audionmf.separate(mixture, midi=path, free=2, beta=2)
    with pytest.raises(LimitError, match="more than the 16 frames"):
        audionmf.separate(mixture, midi=path, free=2, max_frames=16)


def test_silence_gives_silent_stems(song):
    path = song[0]
    silence = Audio(np.zeros((2, 4 * RATE), np.float32), RATE)
    with pytest.warns(audionmf.AudioWarning, match="silent"):
        found = audionmf.separate(silence, midi=path, free=4, sources={"singer": Known(voice=True)})
    assert not any(stem.any() for stem in found.sources.values())
