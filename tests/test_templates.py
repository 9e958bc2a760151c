"""Template banks: what fits together, what is refused, and files that come back the same."""

import json

import numpy as np
import pytest
from conftest import RATE, files_below

from audionmf.archive import write_archive
from audionmf.errors import ParameterError, TemplateError, TemplateMismatchError
from audionmf.stft import STFT
from audionmf.templates import TEMPLATES_KIND, Templates

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
