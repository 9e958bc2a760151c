"""Sources that were found blind are called after what is heard of them, low ones first."""

import dataclasses

import numpy as np
import pytest
from conftest import TINY

import audionmf
from audionmf.analysis import naming
from audionmf.analysis.naming import HeardSource, hear_source, named, renamed
from audionmf.spectra.frames import gather, pooled_magnitude
from audionmf.spectra.masks import ratio_masks
from audionmf.spectra.stft import STFT

RATE = 22050
TRANSFORM = STFT(2048, 512)
TIMES = np.arange(3 * RATE) / RATE


def struck(sound, seconds, every=0.5):
    """Return a sound that begins again and again, and dies away."""
    return sound * np.exp(-(TIMES % every) / seconds)


def tones(*hertz):
    return sum(np.sin(2 * np.pi * f * TIMES) / (i + 1) for i, f in enumerate(hertz))


def noise(low, high):
    X = np.fft.rfft(np.random.default_rng(0).standard_normal(len(TIMES)))
    f = np.fft.rfftfreq(len(TIMES), 1 / RATE)
    return np.fft.irfft(np.where((f >= low) & (f <= high), X, 0), len(TIMES))


def word(samples):
    X = TRANSFORM.forward(np.asarray(samples, np.float32)[None])
    return hear_source(pooled_magnitude(X), TRANSFORM, RATE).word


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (struck(tones(55), 0.06), "kick"),
        (struck(noise(6000, 10000), 0.03, 0.25), "hi-hat"),
        (struck(tones(55, 110, 165, 220, 275), 1.5, 1.5), "bass"),
        (tones(196, 392), "low sustained"),
        (tones(1000, 2000), "high sustained"),
        (struck(tones(440, 880), 0.4, 1.0), "middle struck"),
        (noise(50, 900), "middle noise"),
        (noise(3000, 9000), "bright noise"),
        (0 * TIMES, "silent"),
    ],
)
def test_a_word_for_what_is_heard(samples, expected):
    assert word(samples) == expected
    assert word(1e-6 * samples) == expected


@pytest.mark.parametrize(
    ("figures", "expected"),
    [  # of recordings: a drum machine, two kits, a loop, a tabla, a ride cymbal, a string bass
        ((172, 3025, 13060, 10.7, 0.00, 0.34), "snare"),
        ((205, 452, 6137, 9.3, 0.11, 0.24), "snare"),
        ((452, 8904, 15429, 12.7, 0.52, 0.51), "hi-hat"),
        ((43, 129, 3521, 7.5, 0.16, 0.19), "drums"),
        ((97, 118, 1324, 7.2, 0.14, 0.52), "tom"),
        ((463, 3435, 8549, 11.5, 0.67, 0.32), "cymbal"),
        ((43, 65, 151, 6.2, 0.60, 0.59), "bass"),
    ],
)
def test_a_word_for_recordings_of_drums(figures, expected):
    assert HeardSource(*figures).word == expected


def test_words_that_come_twice_are_numbered():
    assert naming._numbered(["kick", "kick", "bass", "kick"]) == [
        "kick",
        "kick 2",
        "bass",
        "kick 3",
    ]


def mixture():
    low, high = tones(110, 220), tones(1500, 3000)
    bursts = struck(noise(180, 9000), 0.05)
    return np.stack([high + 0.2 * low + bursts, 0.2 * high + low + bursts]).astype(np.float32) / 8


def test_names_change_nothing_but_names_and_order():
    options = {"sample_rate": RATE, "n_sources": 3, "max_iter": 20}
    plain = audionmf.separate(mixture(), names="plain", **options)
    heard = audionmf.separate(mixture(), **options)
    assert list(plain.sources) == ["source1", "source2", "source3"]
    assert not set(heard.sources) & set(plain.sources)
    X = {name: np.abs(np.fft.rfft(s[0])) for name, s in heard.sources.items()}
    heights = [
        np.log(np.arange(len(x)) + 20) @ x**2 / (x**2).sum() for x in map(np.asarray, X.values())
    ]
    assert heights == sorted(heights)
    groups = {group: name for name, group in plain.decomposition.grouping.items()}
    for name, group in heard.decomposition.grouping.items():
        before = plain.sources[groups[group]]
        np.testing.assert_allclose(heard.sources[name], before, atol=1e-5)
    told = heard.decomposition.remarks[-3:]
    assert [line.split(":")[0].split(" (")[0] for line in told] == list(heard.sources)
    assert all("Hz" in line for line in told)


def test_a_recording_too_short_to_tell_keeps_plain_names():
    short = mixture()[:, : 2 * RATE]
    found = audionmf.separate(short, sample_rate=RATE, n_sources=2, max_iter=5)
    assert list(found.sources) == ["source1", "source2"]


def test_drums_that_were_found_as_patterns_are_named_too():
    kick, hat = struck(tones(55), 0.06), struck(noise(6000, 10000), 0.03, 0.25)
    samples = (kick + 0.3 * hat).astype(np.float32)
    found = audionmf.separate(samples, sample_rate=RATE, n_sources=2, model="patterns")
    assert list(found.sources) == ["kick", "hi-hat"]
    assert found.decomposition.templates.labels == ("kick", "hi-hat")
    again = audionmf.separate(samples, sample_rate=RATE, n_sources=2, model="patterns")
    assert list(again.sources) == list(found.sources)


def test_renaming_moves_places_in_stereo_and_shares_with_their_sources():
    found = audionmf.analyse(mixture(), sample_rate=RATE, n_sources=3, max_iter=5, names="plain")
    turned = renamed(found, {"source3": "a", "source1": "b", "source2": "c"})
    assert list(turned.grouping) == ["a", "b", "c"]
    assert turned.grouping["a"] == found.grouping["source3"]
    np.testing.assert_array_equal(turned.covariances, found.covariances[[2, 0, 1]])
    np.testing.assert_array_equal(turned.shares, found.shares[[2, 0, 1]])


def test_frames_that_were_thinned_out_are_heard_in_excerpts():
    settings = dataclasses.replace(TINY, n_fft=2048, max_iter=20, names="heard")
    samples = mixture()
    long = audionmf.separate(
        samples, sample_rate=RATE, n_sources=3, settings=settings, max_frames=32
    )
    assert long.decomposition.activations is None
    assert "high sustained" in long.sources


def test_a_plain_name_stays(monkeypatch):
    found = audionmf.analyse(mixture(), sample_rate=RATE, n_sources=2, max_iter=2, names="plain")
    source = audionmf.Audio(mixture(), RATE)
    frames = gather(source, found.templates.stft)
    assert named(found, source, frames, found.activations) is found


def test_pieces_are_where_each_source_is_loudest(monkeypatch):
    monkeypatch.setattr(naming, "_PIECE_SECONDS", 0.4)
    found = audionmf.analyse(mixture(), sample_rate=RATE, n_sources=3, max_iter=5, names="plain")
    source = audionmf.Audio(mixture(), RATE)
    frames, H = gather(source, found.templates.stft), found.activations
    length = round(0.4 * RATE / found.templates.stft.hop_length)
    loudness = np.random.default_rng(0).random((3, H.shape[1]))
    whole = frames.V * ratio_masks(found.models(H), found.settings.mask_exponent)
    pieces = list(naming._pieces(found, source, frames, H, loudness))
    for stem, piece, loud in zip(whole, pieces, loudness, strict=True):
        places = naming._loudest(loud, length)
        expected = np.concatenate([stem[:, k : k + length] for k in places], axis=1)
        np.testing.assert_allclose(piece, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("more", [0, -3, 3])
def test_pieces_of_any_length_are_put_together(monkeypatch, more):
    monkeypatch.setattr(naming, "_PIECE_SECONDS", 0.4)
    found = audionmf.decompose(mixture(), sample_rate=RATE, n_components=4, max_iter=5, n_fft=2048)
    source = audionmf.Audio(mixture(), RATE)
    frames = gather(source, found.templates.stft, 32)
    loudness = np.tile(np.arange(len(frames.V[0]), dtype=float), (4, 1))
    n_frames = found.templates.stft.n_frames(round(0.4 * RATE)) + more
    read = []

    def piece(*_, **__):
        V = np.random.default_rng(len(read)).random((n_frames, len(frames.V))).astype(np.float32).T
        read.append(V)
        return dataclasses.replace(frames, V=V)

    monkeypatch.setattr(naming, "gather", piece)
    settings = dataclasses.replace(found.settings, n_threads=1)
    one = found.regroup({"a": range(4)})
    one = dataclasses.replace(one, activations=None, settings=settings)
    monkeypatch.setattr(type(one), "activate", lambda _, V, __: np.ones((4, V.shape[1]), "f4"))
    (pieces,) = naming._pieces(one, source, frames, found.activations, loudness[:1])
    np.testing.assert_array_equal(pieces, np.concatenate(read, axis=1))
    assert len(read) > 1


def test_activations_that_are_known_are_not_found_again(monkeypatch):
    monkeypatch.setattr(naming, "_PIECE_SECONDS", 0.4)
    options = {"n_components": 4, "max_iter": 20, "names": "plain", "n_fft": 2048}
    found = audionmf.decompose(mixture(), sample_rate=RATE, **options)
    source = audionmf.Audio(mixture(), RATE)
    frames = gather(source, found.templates.stft, 32)
    H = found.activations[:, :: frames.step]
    loudness = np.random.default_rng(0).random((4, H.shape[1]))
    anew = dataclasses.replace(found, activations=None)
    expected = list(naming._pieces(anew, source, frames, H, loudness))
    monkeypatch.setattr(type(found), "activate", lambda *_: pytest.fail("they are known"))
    assert frames.step > 1
    for piece, other in zip(
        naming._pieces(found, source, frames, H, loudness), expected, strict=True
    ):
        apart = np.abs(piece - other).sum(axis=0) / other.sum(axis=0).max()
        assert np.median(apart) < 1e-3  # but where pieces begin and end
