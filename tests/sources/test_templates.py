"""Template banks: what fits together, what is refused, and files that come back the same."""

import json

import numpy as np
import pytest
from conftest import RATE, files_below, sound, tone

import audionmf
from audionmf.errors import ParameterError, TemplateError, TemplateMismatchError
from audionmf.io.archive import write_archive
from audionmf.sources.templates import TEMPLATES_KIND, Templates
from audionmf.spectra.stft import STFT

SMALL = STFT(16, 4)
W = np.random.default_rng(0).random((9, 4)).astype(np.float32)
LABELS = ("violin", "piano", "violin", "Bass – tief\n")


def bank(W=W, labels=LABELS, stft=SMALL, rate=RATE):
    return Templates(W, labels, stft, rate)


def metadata(**changes):
    good = {
        "labels": ["a"] * 4,
        "sample_rate": RATE,
        "stft": {"n_fft": 16, "hop_length": 4, "window": "hann"},
    }
    return {key: value for key, value in (good | changes).items() if value is not ...}


def test_a_bank_knows_its_size_and_its_sources():
    assert bank().n_components == 4
    assert bank().names == ("violin", "piano", "Bass – tief\n")


@pytest.mark.parametrize(
    ("W", "labels"),
    [
        (W[:8], LABELS),
        (W[:, 0], LABELS),
        (W[:, :0], ()),
        (W, LABELS[:3]),
        (-W, LABELS),
        (np.where(W.max() == W, np.nan, W), LABELS),
        (np.where(W.max() == W, np.inf, W), LABELS),
        (np.where(W.max() == W, 1e300, W.astype(np.float64)), LABELS),
    ],
    ids=["rows", "1-d", "none", "labels", "negative", "NaN", "infinity", "beyond float32"],
)
def test_parts_that_do_not_fit_are_refused(W, labels):
    with pytest.raises(TemplateError):
        bank(W, labels)


def test_the_callers_array_is_not_modified_and_may_be_read_only():
    given = np.asfortranarray(W.astype(np.float64))
    given.flags.writeable = False
    before = given.copy()
    made = bank(given)
    assert np.array_equal(given, before)
    assert made.templates.dtype == np.float32
    assert np.array_equal(made.templates, W)


def test_a_saved_bank_loads_the_same(tmp_path):
    path = bank().save(tmp_path / "a.npz")
    loaded = Templates.load(path)
    assert np.array_equal(loaded.templates, W)
    assert loaded.templates.dtype == np.float32
    assert (loaded.labels, loaded.stft, loaded.sample_rate) == (LABELS, SMALL, RATE)


def test_saving_twice_and_saving_again_give_the_same_bytes(tmp_path):
    first = bank().save(tmp_path / "a.npz").read_bytes()
    assert bank(np.asfortranarray(W)).save(tmp_path / "b.npz").read_bytes() == first
    assert Templates.load(tmp_path / "a.npz").save(tmp_path / "c.npz").read_bytes() == first
    assert files_below(tmp_path) == ["a.npz", "b.npz", "c.npz"]


def test_numpy_opens_a_bank_without_pickle(tmp_path):
    with np.load(bank().save(tmp_path / "a.npz"), allow_pickle=False) as file:
        assert sorted(file.files) == ["metadata", "templates"]
        assert np.array_equal(file["templates"], W)
        assert json.loads(str(file["metadata"]))["labels"] == list(LABELS)


def test_a_file_of_double_precision_is_read(tmp_path):
    write_archive(tmp_path / "a", TEMPLATES_KIND, {"templates": W.astype(np.float64)}, metadata())
    assert np.array_equal(Templates.load(tmp_path / "a").templates, W)


def test_a_double_beyond_float32_is_refused_without_a_warning(tmp_path):
    huge = np.full((9, 4), 1e300)
    write_archive(tmp_path / "a", TEMPLATES_KIND, {"templates": huge}, metadata())
    with pytest.raises(TemplateError, match=r"not finite"):
        Templates.load(tmp_path / "a")


STFTS = [
    ...,
    None,
    [16, 4, "hann"],
    {"n_fft": 16, "hop_length": 4},
    {"n_fft": 16, "hop_length": 4, "window": "hann", "more": 1},
    {"n_fft": 16.0, "hop_length": 4, "window": "hann"},
    {"n_fft": "16", "hop_length": 4, "window": "hann"},
    {"n_fft": True, "hop_length": 1, "window": "hann"},
    {"n_fft": 32, "hop_length": 4, "window": "hann"},
    {"n_fft": 1 << 30, "hop_length": 4, "window": "hann"},
    {"n_fft": 16, "hop_length": 0, "window": "hann"},
    {"n_fft": 16, "hop_length": -4, "window": "hann"},
    {"n_fft": 16, "hop_length": 17, "window": "hann"},
    {"n_fft": 16, "hop_length": 16, "window": "hann"},
    {"n_fft": 16, "hop_length": 4, "window": 3},
    {"n_fft": 16, "hop_length": 4, "window": "no such window"},
]


@pytest.mark.parametrize(
    "changes",
    [
        *({"stft": stft} for stft in STFTS),
        *({"sample_rate": rate} for rate in (..., None, 0, -1, 999, 768_001, 8000.0, "8000", True)),
        *({"labels": labels} for labels in (..., None, "abcd", ["a"] * 3, ["a"] * 5, [1, 2, 3, 4])),
        {"labels": ["a", "b", "c", ""]},
        {"labels": ["a", "b", "c", None]},
    ],
    ids=repr,
)
def test_metadata_that_make_no_sense_are_refused_by_name(tmp_path, changes):
    path = tmp_path / "a.npz"
    write_archive(path, TEMPLATES_KIND, {"templates": W}, metadata(**changes))
    with pytest.raises(TemplateError, match=r"a\.npz"):
        Templates.load(path)


def test_banks_merge_and_a_label_in_both_is_one_source():
    merged = Templates.merge([bank(), bank(W[:, :1], ("piano",))])
    assert merged.labels == (*LABELS, "piano")
    assert merged.names == ("violin", "piano", "Bass – tief\n")
    assert np.array_equal(merged.templates, np.concatenate([W, W[:, :1]], axis=1))


def test_nothing_cannot_be_merged():
    with pytest.raises(ParameterError):
        Templates.merge([])


def test_a_mismatched_rate_names_both_rates_and_the_way_out():
    with pytest.raises(TemplateMismatchError, match=r"8000 Hz.*44100 Hz.*learn them again"):
        Templates.merge([bank(rate=44100), bank()])
    with pytest.raises(TemplateMismatchError, match=r"8000 Hz, 'mix.wav' has 16000 Hz") as e:
        bank().require(16000, SMALL, "'mix.wav'")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("other", [STFT(32, 4), STFT(16, 2), STFT(16, 4, "hamming")])
def test_a_mismatched_stft_names_both_and_the_way_out(other):
    with pytest.raises(
        TemplateMismatchError, match=r"n_fft 16, hop 4, window hann.*learn them"
    ) as e:
        bank().require(RATE, other, "'mix.wav'")
    assert f"n_fft {other.n_fft}, hop {other.hop_length}, window {other.window}" in str(e.value)


def test_a_bank_that_fits_is_not_refused():
    bank().require(RATE, SMALL, "'mix.wav'")
    bank().require(RATE, None, "'mix.wav'")


def test_banks_from_two_files_merge_into_one_source(tmp_path):
    first = bank(W[:, :1], ("violin",)).save(tmp_path / "a.npz")
    second = bank(W[:, 1:2], ("violin",)).save(tmp_path / "b.npz")
    example = sound(tmp_path / "mix.wav", tone(330))
    found = audionmf.separate(example, templates=[first, second], max_iter=2, adapt_iter=2)
    assert list(found.sources) == ["violin", "rest"]


# --- how long templates ring


def test_durations_travel_with_the_bank(tmp_path):
    made = Templates(W, LABELS, SMALL, RATE, (0.5, 1, 0, 2.25))
    assert Templates.load(made.save(tmp_path / "a.npz")).durations == (0.5, 1.0, 0.0, 2.25)
    merged = Templates.merge([made, made])
    assert merged.durations == made.durations * 2
    assert Templates.merge([made, bank()]).durations is None


def test_a_bank_without_durations_does_not_mention_them(tmp_path):
    path = bank().save(tmp_path / "a.npz")
    with np.load(path) as file:
        assert "durations" not in json.loads(str(file["metadata"]))
    assert Templates.load(path).durations is None


@pytest.mark.parametrize("durations", [(1, 2, 3), (1, 2, 3, -1), (1, 2, 3, np.nan)])
def test_durations_that_make_no_sense_are_refused(tmp_path, durations):
    with pytest.raises(TemplateError, match="durations"):
        Templates(W, LABELS, SMALL, RATE, durations)


@pytest.mark.parametrize("durations", ["abcd", [1, 2, 3], [1, 2, 3, "4"], [1, 2, 3, True], 5])
def test_durations_of_a_file_that_make_no_sense_are_refused_by_name(tmp_path, durations):
    path = tmp_path / "a.npz"
    write_archive(path, TEMPLATES_KIND, {"templates": W}, metadata(durations=durations))
    with pytest.raises(TemplateError, match=r"a\.npz.*durations"):
        Templates.load(path)


@pytest.mark.parametrize("dictionary", ["frames", "nmf"])
def test_learning_notes_for_how_long_a_template_rings(dictionary):
    note = tone(500, 4000) * 0
    note[1000:3000] = np.sin(2 * np.pi * 500 * np.arange(2000) / RATE)  # a quarter of a second
    count = {"frames": 9, "nmf": 1}[dictionary]  # the frames at the ends hold half a note
    learnt = audionmf.learn(note, "a", count, sample_rate=RATE, n_fft=256, dictionary=dictionary)
    assert np.median(learnt.durations) == pytest.approx(0.25, abs=0.04)


# --- conversion


LINES_HZ = (300.0, 1234.0, 2900.0)


def learnt_lines(rate, n_fft):
    """Return a bank of three partials, from audio."""
    t = np.arange(rate) / rate
    x = sum(np.sin(2 * np.pi * hz * t) / (i + 1) for i, hz in enumerate(LINES_HZ))
    return audionmf.learn(x, "a", 2, sample_rate=rate, n_fft=n_fft)


def peaks_hz(made):
    w = made.templates[:, 0]
    high = np.flatnonzero((w[1:-1] > w[:-2]) & (w[1:-1] >= w[2:]) & (w[1:-1] > w.max() / 20)) + 1
    return high * made.sample_rate / made.stft.n_fft


@pytest.mark.parametrize(
    ("rate", "n_fft"), [(8000, 512), (8000, 2048), (8820, 1024), (16000, 1024), (22050, 4096)]
)
def test_peaks_stay_at_their_frequency_and_sums_stay(rate, n_fft):
    made = learnt_lines(8000, 1024)
    converted = made.convert(rate, STFT(n_fft, n_fft // 4))
    assert (converted.sample_rate, converted.labels) == (rate, made.labels)
    assert converted.templates.sum(axis=0) == pytest.approx([1, 1], rel=1e-5)
    assert peaks_hz(converted) == pytest.approx(LINES_HZ, abs=0.6 * max(8000 / 1024, rate / n_fft))


def test_above_half_the_old_rate_a_converted_template_is_zero():
    converted = learnt_lines(8000, 1024).convert(16000)
    assert converted.stft == STFT(2048, 512)
    frequencies = converted.stft.frequencies(16000)
    assert not converted.templates[frequencies > 4000].any()
    assert converted.templates[frequencies < 4000].any(axis=1).mean() > 0.9


def test_a_template_above_half_the_new_rate_is_zero():
    spectra = np.zeros((513, 2))
    spectra[400, 0], spectra[20, 1] = 1, 1
    made = Templates(spectra, ("a", "b"), STFT(1024, 256), 8000).convert(4000)
    assert made.stft == STFT(512, 128)
    assert made.templates.sum(axis=0) == pytest.approx([0, 1])


def test_the_same_bins_keep_their_values():
    made = learnt_lines(8000, 1024)
    assert np.array_equal(made.convert(8000).templates, made.templates)
    assert made.convert(16000).templates[:513] == pytest.approx(made.templates, abs=1e-7)


@pytest.mark.parametrize(("rate", "n_fft"), [(8000, 2048), (8820, 1024), (7000, 1024)])
def test_there_and_back_is_close(rate, n_fft):
    made = learnt_lines(8000, 1024)
    back = made.convert(rate, STFT(n_fft, n_fft // 4)).convert(8000, made.stft)
    below = made.stft.frequencies(8000) < 3400
    error = np.abs(back.templates - made.templates)[below].sum(axis=0)
    assert error.max() < 0.25  # of a sum of 1
    assert np.corrcoef(back.templates[below, 0], made.templates[below, 0])[0, 1] > 0.97


@pytest.mark.parametrize("rate", [0, 999, 8000.0, "8000", True, 1 << 20])
def test_a_rate_that_makes_no_sense_is_refused(rate):
    with pytest.raises(ParameterError, match="sample rate"):
        bank().convert(rate)


def test_a_mismatch_is_refused_unless_conversion_is_asked_for(tmp_path):
    banks = [audionmf.learn(tone(hz), n, 5, sample_rate=RATE, n_fft=256)
             for n, hz in (("low", 330), ("high", 880))]  # fmt: skip
    x = np.repeat(tone(330) + tone(880), 2)
    with pytest.raises(TemplateMismatchError, match=r"8000 Hz.*16000 Hz.*--convert.*convert=True"):
        audionmf.analyse(x, sample_rate=16000, templates=banks)
    with pytest.raises(TemplateMismatchError, match=r"n_fft 256.*n_fft 512.*--convert"):
        audionmf.analyse(tone(330), sample_rate=RATE, templates=banks, n_fft=512)
    found = audionmf.analyse(x, sample_rate=16000, templates=banks, convert=True, adapt_iter=2)
    assert found.templates.stft == STFT(512, 128)
    assert found.templates.names == ("low", "high")


def test_a_converted_bank_separates_nearly_as_well_as_a_native_one():
    from audionmf.evaluate.measures import si_sdr

    def notes(rate, *hertz):
        parts = []
        for hz in hertz:
            t = np.arange(rate // 2) / rate
            partials = sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 6))
            parts.append(partials * np.exp(-4 * t))
        return 0.1 * np.concatenate(parts)

    played = {"low": (220, 262, 330, 247), "high": (587, 740, 659, 880)}
    rate = 16000
    stems = {name: notes(rate, *hz) for name, hz in played.items()}

    def score(learnt_at):
        banks = [
            audionmf.learn(notes(learnt_at, *sorted(hz)), n, 20, sample_rate=learnt_at)
            for n, hz in played.items()
        ]
        found = audionmf.separate(sum(stems.values()), sample_rate=rate, templates=banks,
                                  convert=True).sources  # fmt: skip
        return np.mean([si_sdr(stems[n][None], found[n]) for n in stems])

    native = score(rate)
    assert native > 10
    assert score(17600) > native - 2
    assert score(8000) > native - 12  # the half above 4 kHz is missing
