import io
import itertools
import sys
import tracemalloc
import types

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.image import imread
from matplotlib.layout_engine import ConstrainedLayoutEngine

from audionmf import STFT, MissingExtraError, OutputError, ParameterError, Templates, plot
from audionmf.spectra.frames import pooled_magnitude

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
    assert labels["activations (H)"] == ("time (min:s)", "component")
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
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time (min:s)", "frequency (Hz)")
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


def test_components_have_their_names_or_their_notes_and_numbers():
    _, W, H = factors()
    W[:, 1] = 1e-3
    W[4::4, 1] = 1  # partials 250 Hz apart
    heard = plot.templates(new_axes(), W, TRANSFORM, RATE)
    assert [text.get_text() for text in heard.get_xticklabels()] == [
        "noise #0",
        "B3 #1",
        "noise #2",
    ]
    numbered = plot.activations(new_axes(), H, TRANSFORM, RATE)
    assert [text.get_text() for text in numbered.get_yticklabels()] == ["#0", "#1", "#2"]
    for axes in plot.decomposition(W @ H, W, H, TRANSFORM, RATE).axes:
        ticks = {"templates (W)": axes.get_xticklabels(), "activations (H)": axes.get_yticklabels()}
        assert "B3 #1" in [text.get_text() for text in ticks.get(axes.get_title(), ())] or (
            axes.get_title() not in ticks
        )
    named = plot.activations(new_axes(), H, TRANSFORM, RATE, ["bass", "keys", "voice"])
    assert [text.get_text() for text in named.get_yticklabels()] == ["bass", "keys", "voice"]
    assert (named.get_xlabel(), named.get_ylabel()) == ("time (min:s)", "component")


@pytest.mark.parametrize(
    ("span", "shown"),
    [
        ((0, 0.4), ["0:00.00", "0:00.05", "0:00.10"]),
        ((0, 4), ["0:00.0", "0:00.5", "0:01.0"]),
        ((0, 12), ["0:00", "0:02", "0:04"]),
        ((195, 270), ["3:20", "3:30", "3:40"]),
        ((0, 240), ["0:00", "0:30", "1:00"]),
        ((3540, 7200), ["1:00:00", "1:10:00", "1:20:00"]),
        ((0, 20 * 86_400), ["0:00", "72:00:00", "144:00:00"]),
    ],
)
def test_times_are_round_minutes_and_seconds_also_where_it_is_zoomed(span, shown):
    axes = plot.spectrogram(None, factors()[0], TRANSFORM, RATE)
    axes.set_xlim(*span)
    assert [text.get_text() for text in axes.get_xticklabels()][:3] == shown
    assert 2 < len(axes.get_xticks()) <= 10


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


@pytest.mark.parametrize(
    "draw", [plot.figure, lambda: plot.decomposition(*factors(), TRANSFORM, RATE)]
)
def test_without_matplotlib_the_way_to_install_it_is_named(monkeypatch, draw):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'audionmf\[plot\]'"):
        draw()


def overview_of(samples):
    return plot.overview(np.atleast_2d(samples).astype(np.float32), TRANSFORM, RATE)


def drawn_overviews(n_sources=3, n_samples=4000):
    rng = np.random.default_rng(0)
    return {f"s{j}": overview_of(rng.normal(size=(2, n_samples))) for j in range(n_sources)}


# Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision
# deficiency", IEEE TVCG 15(6), 2009, severity 1.
VISION = {
    "any": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear_rgb(colour):
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def cielab(rgb):
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ rgb / [0.95047, 1, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("theme", plot.THEMES)
@pytest.mark.parametrize("vision", VISION)
def test_eight_sources_are_told_apart_with_any_colour_vision(theme, vision):
    seen = [
        cielab(np.clip(np.array(VISION[vision]) @ linear_rgb(colour), 0, 1))
        for colour in plot.source_colours(8, theme)
    ]
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))
    assert nearest > 19  # 2 is just noticeable side by side


@pytest.mark.parametrize("theme", plot.THEMES)
def test_sources_stand_out_from_the_page(theme):
    def luminance(colour):
        return linear_rgb(colour) @ [0.2126, 0.7152, 0.0722]

    page = luminance(to_hex(plot.figure(theme=theme).get_facecolor()))
    for colour in plot.source_colours(9, theme):
        low, high = sorted([page, luminance(colour)])
        assert (high + 0.05) / (low + 0.05) >= 3  # WCAG 2.2, graphical objects


@pytest.mark.parametrize("theme", plot.THEMES)
def test_levels_are_even_in_lightness(theme):
    axes = plot.spectrogram(new_axes(), factors()[0], TRANSFORM, RATE, theme=theme)
    shades = axes.collections[0].get_cmap()(np.linspace(0, 1, 40))
    lightness = [cielab(linear_rgb(to_hex(shade)))[0] for shade in shades]
    steps = np.diff(lightness)
    assert (steps < 0).all() if theme == "light" else (steps > 0).all()


def drawings(theme):
    V, W, H = factors()
    yield plot.decomposition(V, W, H, TRANSFORM, RATE, theme=theme)
    yield plot.reconstruction(V, W @ H, TRANSFORM, RATE, theme=theme)
    yield plot.separation(drawn_overviews(), TRANSFORM, RATE, theme=theme)
    yield plot.convergence(None, [3.0, 2.0, 1.0], theme=theme).figure
    yield plot.masks(None, [V, 2 * V], TRANSFORM, RATE, theme=theme).figure


def test_themes_change_every_picture_and_leave_matplotlib_as_it_was():
    import matplotlib

    before = dict(matplotlib.rcParams.copy(), backend=None)  # found out when it is first asked for
    for light, dark in zip(drawings("light"), drawings("dark"), strict=True):
        assert light.get_facecolor() != dark.get_facecolor()
        for axes in dark.axes:
            title = linear_rgb(to_hex(axes.title.get_color())).mean()
            assert title > linear_rgb(to_hex(axes.get_facecolor())).mean() or not axes.get_title()
    assert dict(matplotlib.rcParams, backend=None) == before


def test_pictures_have_named_axes_with_units_and_share_the_time():
    for picture in drawings("light"):
        assert all(axes.get_ylabel() for axes in picture.axes)
        timed = [axes for axes in picture.axes if axes.get_xlabel().startswith("time")]
        assert all(axes.get_xlabel() == "time (min:s)" for axes in timed)
    stacked = plot.reconstruction(factors()[0], factors()[0], TRANSFORM, RATE).axes[:3]
    assert len({axes.get_xlim() for axes in stacked}) == 1
    stacked[0].set_xlim(0, 0.05)
    assert stacked[2].get_xlim() == (0, 0.05)


@pytest.mark.parametrize("wrong", [{"theme": "sepia"}, {"scale": "bark"}])
def test_an_unknown_theme_or_scale_is_refused(wrong):
    with pytest.raises(ParameterError, match=r"sepia|bark"):
        plot.spectrogram(new_axes(), factors()[0], TRANSFORM, RATE, **wrong)


@pytest.mark.parametrize("n_fft", [256, 4096])
@pytest.mark.parametrize("scale", ["log", "mel"])
def test_a_tone_stands_at_its_frequency_and_time_however_far_the_picture_is_reduced(n_fft, scale):
    stft = STFT(n_fft, n_fft // 4)
    V = np.zeros((stft.n_bins, 5000), np.float32)
    V[stft.n_bins // 3, 3210] = 1  # one bin of one frame, which thinning would lose
    axes = plot.spectrogram(new_axes(), V, stft, RATE, scale=scale)
    mesh = axes.collections[0]
    shown = np.asarray(mesh.get_array())
    row, column = np.unravel_index(shown.argmax(), shown.shape)
    assert shown.max() == 0
    assert shown.shape[0] <= 512
    assert shown.shape[1] <= 1200
    corners = mesh.get_coordinates()
    (x0, y0), (x1, y1) = corners[row, column], corners[row + 1, column + 1]
    assert x0 <= 3210 * stft.hop_length / RATE <= x1
    assert y0 <= stft.n_bins // 3 * RATE / n_fft <= y1


def test_a_mel_axis_is_linear_below_1_khz():
    axes = plot.spectrogram(new_axes(), factors()[0], TRANSFORM, RATE, scale="mel")
    low, middle, high = axes.transData.transform([(0, 200), (0, 500), (0, 800)])[:, 1]
    assert middle - low == pytest.approx(high - middle)


def test_an_overview_is_the_maximum_of_the_frames_of_each_column_in_blocks_of_any_size():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(2, 70_000)).astype(np.float32)
    V = pooled_magnitude(TRANSFORM.forward(samples))
    seen = plot.overview(samples, TRANSFORM, RATE, n_columns=100)
    step = -(-V.shape[1] // 100)
    wanted = [V[:, t : t + step].max(axis=1) for t in range(0, V.shape[1], step)]
    np.testing.assert_allclose(seen.V, np.stack(wanted, 1), rtol=1e-5, atol=1e-6)
    assert seen.frame_seconds == step * 64 / RATE
    levels = [
        np.sqrt(np.mean(samples[:, t : t + 700].astype(float) ** 2)) for t in range(0, 70_000, 700)
    ]
    np.testing.assert_allclose(seen.level, levels, rtol=1e-6)
    assert (seen.level_seconds, seen.peak) == (700 / RATE, np.abs(samples).max())


def test_memory_does_not_grow_with_the_length_of_a_spectrogram():
    V = np.zeros((TRANSFORM.n_bins, 400_000), np.float32)  # 206 MB
    axes = new_axes()
    tracemalloc.start()
    plot.spectrogram(axes, V, TRANSFORM, RATE)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 30e6


def test_templates_are_put_in_the_order_of_their_pitch_within_their_groups():
    stft, bins = STFT(2048, 512), np.arange(1025)
    pitches = [880, 220, 440, 330]
    W = np.stack([comb(hertz, bins * RATE / 2048) for hertz in pitches], 1)
    noise = np.ones((1025, 1))
    both = np.concatenate([noise, W], axis=1)
    assert plot.pitch_order(both, stft, RATE) == [2, 4, 3, 1, 0]
    groups = ["b", "a", "b", "a", "b"]
    assert plot.pitch_order(both, stft, RATE, groups) == [2, 4, 0, 3, 1]
    axes = plot.templates(
        new_axes(),
        both,
        stft,
        RATE,
        groups=groups,
        order=plot.pitch_order(both, stft, RATE, groups),
    )
    shown = ["A3 #2", "E4 #4", "noise #0", "A4 #3", "A5 #1"]
    assert [text.get_text() for text in axes.get_xticklabels()] == shown
    assert [text.get_text() for text in axes.texts] == ["b", "a"]


def comb(hertz, frequencies):
    return sum(
        np.exp(-(((frequencies - k * hertz) / 15) ** 2)) / k
        for k in range(1, 9)
    )  # fmt: skip


def test_masks_show_each_source_in_its_colour_and_silence_in_none():
    masks = np.zeros((2, TRANSFORM.n_bins, 3))
    masks[0, :, 0], masks[1, :, 1], masks[:, :, 2] = 1, 1, 0.5
    V = np.ones((TRANSFORM.n_bins, 3))
    V[10] = 0
    axes = plot.masks(new_axes(), masks, TRANSFORM, RATE, ["<b>$x$", "keys"], V=V)
    shown = np.asarray(axes.collections[0].get_array())
    first, second = (np.array(to_rgb(colour)) for colour in plot.source_colours(2))
    np.testing.assert_allclose(shown[5], [first, second, (first + second) / 2], atol=1e-9)
    np.testing.assert_allclose(shown[10], 1)  # the white page
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["<b>$x$", "keys"]


def test_names_of_narrow_groups_stand_upright_and_do_not_meet():
    _, W, _ = factors(n_components=12)
    for names, rotation in ((["a", "b"], 0), (["a", "a long name"], 90)):
        groups = [names[0]] * 11 + [names[1]]
        axes = plot.templates(new_axes(), W, TRANSFORM, RATE, groups=groups)
        assert [text.get_rotation() for text in axes.texts] == [rotation] * 2


def test_a_picture_of_factors_alone_has_its_scale():
    _, W, H = factors()
    for draw, factor in ((plot.templates, W), (plot.activations, H)):
        alone = draw(None, factor, TRANSFORM, RATE).figure.axes
        assert [bar.get_ylabel()[:8] for bar in alone[1:]] == ["dB below"]
        assert len(draw(new_axes(), factor, TRANSFORM, RATE).figure.axes) == 1


def test_stems_beyond_the_colours_are_not_painted_in_one_twice():
    seen = {str(j): overview_of(np.ones(400)) for j in range(plot.N_COLOURS + 1)}
    few = dict(list(seen.items())[:-1])
    titles = [plot.separation(stems, TRANSFORM, RATE).axes[0].get_title() for stems in (few, seen)]
    assert titles == ["which source has what (masks)", "spectrogram"]
    picture = plot.separation(few, TRANSFORM, RATE)
    assert all(axes.get_legend() is None for axes in picture.axes)  # the rows name the colours


def test_the_rows_of_stems_are_their_levels():
    loud, soft = np.ones(4000), np.full(4000, 10 ** (-24 / 20))
    seen = {"loud": overview_of(loud), "soft": overview_of(soft), "none": overview_of(0 * loud)}
    heights = plot.relative_levels(seen)
    np.testing.assert_allclose(heights["loud"], 1)
    np.testing.assert_allclose(heights["soft"], 0.5, atol=1e-6)
    np.testing.assert_allclose(heights["none"], 0)
    axes = plot.stems(new_axes(), seen)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["loud", "soft", "none"]
    with pytest.raises(ParameterError, match="no stems"):
        plot.stems(new_axes(), {})


def test_spectrograms_of_stems_share_one_scale():
    loud = np.random.default_rng(0).normal(size=4000)
    seen = {"loud": overview_of(loud), "soft": overview_of(0.1 * loud), "$x_1$": overview_of(loud)}
    picture = plot.stem_spectrograms(seen, TRANSFORM, RATE)
    panels, bars = picture.axes[:3], picture.axes[3:]
    assert [axes.get_title(loc="left") for axes in panels] == list(seen)
    assert [bar.get_ylabel() for bar in bars] == ["dB below peak"] * 3
    peaks = [float(np.max(axes.collections[0].get_array())) for axes in panels]
    np.testing.assert_allclose(peaks, [0, -20, 0], atol=0.01)
    with pytest.raises(ParameterError, match="no stems"):
        plot.stem_spectrograms({}, TRANSFORM, RATE)


def test_the_residual_is_the_recording_over_the_model_in_decibels():
    V, W, _ = factors()
    picture = plot.reconstruction(V, V / np.float32(10 ** (6 / 20)), TRANSFORM, RATE)
    left = np.asarray(picture.axes[2].collections[0].get_array())
    np.testing.assert_allclose(np.median(left), 6, atol=1e-3)
    with pytest.raises(ParameterError, match="do not match"):
        plot.reconstruction(V, W, TRANSFORM, RATE)


def test_a_curve_of_the_divergence_is_over_iterations_where_they_are_known():
    axes = plot.convergence(None, [9.0, 3.0, 1.0], [0, 10, 20])
    assert axes.get_xlabel() == "iteration"
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [(0, 9), (10, 3), (20, 1)])
    assert plot.convergence(None, [9.0, 3.0]).get_xlabel() == "evaluation"
    for values, places in (([], None), ([1.0, 2.0], [1])):
        with pytest.raises(ParameterError, match="cannot be drawn"):
            plot.convergence(None, values, places)


def test_the_place_of_the_time_axis_is_told():
    seen = drawn_overviews(n_samples=16_000)
    start, end, seconds = plot.time_span(plot.separation(seen, TRANSFORM, RATE))
    assert 0 < start < 0.3 < 0.8 < end <= 1
    assert seconds == pytest.approx(1.0, rel=0.02)
    assert plot.time_span(plot.convergence(None, [2.0, 1.0]).figure) is None


def pixels(picture):
    return imread(io.BytesIO(plot.png(picture, 100)))


def test_a_picture_is_drawn_once_as_matplotlib_saves_it_with_two():
    saved = io.BytesIO()
    one, two = (plot.separation(drawn_overviews(), TRANSFORM, RATE) for _ in range(2))
    one.savefig(saved, dpi=100, format="png")
    saved.seek(0)
    np.testing.assert_array_equal(pixels(two), imread(saved))


def test_the_places_of_one_theme_are_those_of_the_other(monkeypatch):
    three = (itertools.islice(drawings(theme), 2, 4) for theme in ("light", "dark", "dark"))
    for light, dark, alone in zip(*three, strict=True):
        plot.lay_out(light)
        with monkeypatch.context() as patched:
            patched.setattr(ConstrainedLayoutEngine, "execute", lambda *_: pytest.fail("again"))
            plot.lay_out(dark, light)
            twin = pixels(dark)
        np.testing.assert_array_equal(twin, pixels(alone))
        assert plot.time_span(dark) == plot.time_span(light)


def test_a_picture_keeps_its_size_when_it_is_saved(tmp_path):
    picture = new_axes().figure
    before = picture.dpi
    plot.save(picture, tmp_path / "a.png", dpi=60)
    assert picture.dpi == before


def test_the_same_picture_has_the_same_bytes():
    one, two = (plot.png(plot.separation(drawn_overviews(), TRANSFORM, RATE)) for _ in range(2))
    assert one == two


def test_the_public_names_are_locked():
    assert plot.__all__ == [
        "N_COLOURS",
        "THEMES",
        "Overview",
        "RollNotes",
        "activations",
        "clock",
        "convergence",
        "decomposition",
        "figure",
        "key_labels",
        "key_range",
        "lay_out",
        "masks",
        "overview",
        "patterns",
        "piano_roll",
        "pitch_order",
        "png",
        "reconstruction",
        "relative_levels",
        "rolled",
        "rolls",
        "save",
        "separation",
        "source_colours",
        "spectrogram",
        "stem_spectrograms",
        "stems",
        "strip",
        "templates",
        "time_span",
    ]
    assert all(not isinstance(getattr(plot, name), types.ModuleType) for name in plot.__all__)


def test_a_notebook_is_given_a_figure_as_a_picture():
    bank = Templates(np.eye(5, 2, dtype=np.float32), ("a", "b"), STFT(8, 4), 8000)
    shown = plot.templates(bank).figure._repr_png_()
    assert imread(io.BytesIO(shown)).std() > 0.01
