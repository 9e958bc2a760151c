import sys

import numpy as np
import pytest

from audionmf import STFT, MissingExtraError, OutputError, plot

RATE = 16_000
TRANSFORM = STFT(256, 64)
PNG = b"\x89PNG\r\n\x1a\n"


def factors(n_components=3, n_frames=40, seed=0):
    rng = np.random.default_rng(seed)
    W = rng.random((TRANSFORM.n_bins, n_components)).astype(np.float32)
    H = rng.random((n_components, n_frames)).astype(np.float32)
    return W @ H, W, H


def new_axes():
    return plot.figure(4, 3).add_subplot()


@pytest.mark.parametrize(("n_components", "n_frames"), [(3, 40), (1, 1), (1, 40), (30, 1)])
def test_a_decomposition_becomes_one_labelled_picture(tmp_path, n_components, n_frames):
    V, W, H = factors(n_components, n_frames)
    picture = plot.decomposition(V, W, H, TRANSFORM, RATE)
    labels = {axes.get_title(): (axes.get_xlabel(), axes.get_ylabel()) for axes in picture.axes}
    assert labels["templates (W)"] == ("component", "frequency (Hz)")
    assert labels["spectrogram"][1] == "frequency (Hz)"
    assert labels["activations (H)"] == ("time (s)", "component")
    path = plot.save(picture, tmp_path / "picture.png")
    content = path.read_bytes()
    assert content.startswith(PNG)
    assert content.endswith(b"IEND\xaeB`\x82")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("stft", [STFT(2, 1), STFT(5, 1), STFT(64, 16)])
@pytest.mark.parametrize("rate", [1_000, 192_000])
def test_any_transform_and_rate_can_be_drawn(tmp_path, stft, rate):
    rng = np.random.default_rng(0)
    W, H = rng.random((stft.n_bins, 2)), rng.random((2, 5))
    picture = plot.decomposition(W @ H, W, H, stft, rate)
    assert plot.save(picture, tmp_path / "picture.png").stat().st_size > 1000


def test_silence_can_be_drawn(tmp_path):
    V, W, H = factors()
    picture = plot.decomposition(0 * V, 0 * W, 0 * H, TRANSFORM, RATE)
    assert plot.save(picture, tmp_path / "picture.png").is_file()


def test_a_spectrogram_is_in_decibels_below_its_peak_over_seconds():
    V, _, _ = factors(n_frames=50)
    axes = new_axes()
    assert plot.spectrogram(axes, V, TRANSFORM, RATE) is axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time (s)", "frequency (Hz)")
    assert axes.get_yscale() == "log"
    assert axes.get_ylim()[1] == RATE / 2
    drawn = axes.collections[0].get_array()
    assert drawn.max() == 0
    assert drawn.min() >= -80
    assert axes.get_xlim()[1] == pytest.approx(49 * 64 / RATE)


@pytest.mark.parametrize("level", [1e-30, 1.0, 1e30])
def test_the_level_of_a_spectrogram_does_not_matter(level):
    V, _, _ = factors()
    pictures = []
    for data in (V.astype(np.float64), level * V.astype(np.float64)):
        axes = plot.spectrogram(new_axes(), data, TRANSFORM, RATE)
        pictures.append(np.asarray(axes.collections[0].get_array()))
    np.testing.assert_allclose(*pictures, atol=1e-9)


def test_each_template_is_in_decibels_below_its_own_peak():
    _, W, _ = factors()
    axes = plot.templates(new_axes(), W * [1, 1e-3, 0], TRANSFORM, RATE)
    drawn = axes.collections[0].get_array().reshape(W.shape)
    np.testing.assert_allclose(drawn.max(axis=0), [0, 0, -80])


def test_components_are_named_or_numbered():
    _, W, H = factors()
    numbered = plot.templates(new_axes(), W, TRANSFORM, RATE)
    assert [text.get_text() for text in numbered.get_xticklabels()] == ["0", "1", "2"]
    named = plot.activations(new_axes(), H, TRANSFORM, RATE, ["bass", "keys", "voice"])
    assert [text.get_text() for text in named.get_yticklabels()] == ["bass", "keys", "voice"]
    assert (named.get_xlabel(), named.get_ylabel()) == ("time (s)", "component")


def test_many_components_get_no_more_labels_than_there_is_room_for():
    _, W, _ = factors(n_components=200)
    axes = plot.templates(new_axes(), W, TRANSFORM, RATE)
    assert len(axes.get_xticks()) <= 24


def test_a_long_recording_is_thinned_and_keeps_its_length():
    V, _, H = factors(n_frames=9001)
    for axes in (
        plot.spectrogram(new_axes(), V, TRANSFORM, RATE),
        plot.activations(new_axes(), H, TRANSFORM, RATE),
    ):
        assert axes.collections[0].get_array().size <= 2000 * len(V)
        assert axes.get_xlim()[1] == pytest.approx(9000 * 64 / RATE, rel=1e-2)


def test_arrays_are_only_read():
    arrays = factors()
    kept = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    plot.decomposition(*arrays, TRANSFORM, RATE)
    for array, copy in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_drawing_opens_no_window_and_does_not_touch_pyplot():
    pyplot = sys.modules.get("matplotlib.pyplot")
    before = [] if pyplot is None else pyplot.get_fignums()
    plot.decomposition(*factors(), TRANSFORM, RATE)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert (pyplot.get_fignums() if pyplot else []) == before


def test_a_picture_that_cannot_be_written_is_an_output_error_and_leaves_nothing(tmp_path):
    with pytest.raises(OutputError):
        plot.save(plot.figure(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("draw", [plot.figure, lambda: plot.decomposition(*factors(), None, RATE)])
def test_without_matplotlib_the_way_to_install_it_is_named(monkeypatch, draw):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'audionmf\[plot\]'"):
        draw()
