"""Stems as files: their names, their sum, the common gain, all or none."""

import errno
import json

import numpy as np
import pytest
from conftest import RATE, child, files_below, steps
from hypothesis import given
from hypothesis import strategies as st

from audionmf.errors import AudioReadError, InvalidAudioError, OutputError, ParameterError
from audionmf.io import audio, formats
from audionmf.io.files import safe_name
from audionmf.rendering import stems

FORMATS = [
    ("PCM_U8", "wav"),
    ("PCM_16", "wav"),
    ("PCM_24", "wav"),
    ("PCM_32", "wav"),
    ("FLOAT", "wav"),
    ("DOUBLE", "wav"),
    ("PCM_16", "flac"),
    ("PCM_24", "flac"),
    ("FLOAT", "flac"),
    ("PCM_16", "aiff"),
    ("FLOAT", "aiff"),
]

# --- names


def test_the_default_pattern_is_a_folder_for_the_track(tmp_path):
    assert stems.stem_paths(tmp_path, "mix", ["violin", "piano"]) == {
        "violin": tmp_path / "mix" / "violin.wav",
        "piano": tmp_path / "mix" / "piano.wav",
    }


def test_a_pattern_of_ones_own(tmp_path):
    paths = stems.stem_paths(tmp_path, "mix", ["a"], "{source}/x {track}-{track}.{ext}", "flac")
    assert paths == {"a": tmp_path / "a" / "x mix-mix.flac"}


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "{track}.{ext}",
        "stem.wav",
        "{sources}.{ext}",
        "{source.__class__}.{ext}",
        "{source[0]}.{ext}",
        "{source!r}.{ext}",
        "{source:>99999999}.{ext}",
        "{0}{source}.{ext}",
        "{}{source}.{ext}",
        "{source}{track.__init__.__globals__}.{ext}",
        "{{source}}.{ext}",
        "{source}",
        "{source}.mp3",
        "{source}.{ext}.exe",
        "{source}/.{ext}",
        "../{source}.{ext}",
        "{track}/../../{source}.{ext}",
        "/absolute/{source}.{ext}",
        "{source}\0.{ext}",
    ],
)
def test_a_pattern_with_anything_else_is_refused(tmp_path, pattern):
    with pytest.raises(ParameterError):
        stems.stem_paths(tmp_path, "mix", ["a", "b"], pattern)


@pytest.mark.parametrize("extension", ["mp4", "ogx", "", "wav/../..", "WAV"])
def test_an_unknown_extension_is_refused(tmp_path, extension):
    with pytest.raises(ParameterError, match="stems are written as wav, flac, aiff"):
        stems.stem_paths(tmp_path, "mix", ["a"], extension=extension)


@given(
    st.text(max_size=30) | st.sampled_from(["..", "/etc/passwd", "../../x", "{ext}", "a\\1b"]),
    st.lists(st.text(max_size=200), min_size=1, max_size=1),
)
def test_no_name_leads_out_of_the_folder(tmp_path_factory, track, sources):
    folder = tmp_path_factory.getbasetemp()
    path = stems.stem_paths(folder, track, sources)[sources[0]]
    assert path.parent.parent == folder.resolve()
    assert path.parent.name == safe_name(track)
    assert path.name == f"{safe_name(sources[0])}.wav"


def test_a_name_that_looks_like_a_field_stays_a_name(tmp_path):
    paths = stems.stem_paths(tmp_path, "{source}", ["{track}"])
    assert paths == {"{track}": tmp_path / "{source}" / "{track}.wav"}


@pytest.mark.parametrize("names", [("a/b", "a_b"), ("", "unnamed"), ("flu\u0302te", "fl\u00fbte")])
def test_two_sources_of_one_file_name_are_refused(tmp_path, names):
    with pytest.raises(ParameterError, match="would both be written"):
        stems.stem_paths(tmp_path, "mix", names)


def test_many_sources_are_named_quickly(tmp_path):
    names = [f"source{i}" for i in range(4096)]
    assert len(stems.stem_paths(tmp_path, "mix", names)) == 4096


# --- files


def parts(n_sources=3, n_channels=2, n_samples=5000, level=0.2, seed=0):
    """Return stems of shape (n_sources, n_channels, n_samples) that stay below full scale."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-level, level, (n_sources, n_channels, n_samples)).astype(np.float32)


def split(mixture, n_sources=3, seed=0):
    """Return stems that sum to a float32 mixture, the last being what the others leave."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(n_sources), mixture.shape).astype(np.float32)
    first = np.moveaxis(shares, -1, 0)[:-1] * mixture
    return np.concatenate([first, (mixture - first.sum(axis=0))[None]])


def blocks_of(whole, size=700):
    return lambda: (whole[..., i : i + size] for i in range(0, whole.shape[-1], size))


def write(folder, whole, subtype="PCM_16", extension="wav", make_blocks=None):
    form = stems.StemFormat(RATE, whole.shape[1], subtype, whole.shape[2])
    names = [f"s{i}" for i in range(len(whole))]
    paths = stems.stem_paths(folder, "mix", names, extension=extension)
    return stems.write_stems(make_blocks or blocks_of(whole), paths, form)


@pytest.mark.parametrize(("subtype", "extension"), FORMATS)
@pytest.mark.parametrize("n_sources", [1, 2, 7])
def test_stems_on_disk_sum_to_the_mixture(tmp_path, subtype, extension, n_sources):
    written_as = formats.output_subtype(subtype, extension)
    step = formats.quantisation_step(written_as)
    mixture = parts(1, level=0.9)[0]
    if step:
        mixture = (np.rint(mixture / step) * step).astype(np.float32)
    written = write(tmp_path, split(mixture, n_sources), subtype, extension)
    assert written.gain == 1
    assert list(written.paths) == [f"s{i}" for i in range(n_sources)]
    found = [steps(path) for path in written.paths.values()]
    error = np.abs(sum(found) - mixture)
    # Stems are float32, so that 32-bit PCM sums up to the precision of float32 alone.
    rounding = n_sources * 2.0**-24 * np.abs(mixture).max()
    assert error.max() <= n_sources * step / 2 + rounding
    if not step:
        residual = 10 * np.log10((error**2).sum() / (mixture.astype(np.float64) ** 2).sum() + 1e-30)
        assert residual <= -120
    for path, stem in zip(written.paths.values(), split(mixture, n_sources), strict=True):
        assert audio.AudioFile(path).subtype == written_as
        assert np.abs(steps(path) - stem).max() <= step / 2


@pytest.mark.parametrize(("subtype", "extension"), FORMATS)
@pytest.mark.parametrize("peak", [1.001, 3.7, 1000.0])
def test_where_a_stem_would_clip_all_have_one_gain_and_the_sum_holds(
    tmp_path, subtype, extension, peak
):
    whole = parts(3)
    whole[1, 0, 4321] = peak
    whole[2, 0, 4321] = -peak + 0.1
    whole[0, 1, 17] = 0.4
    mixture = whole.astype(np.float64).sum(axis=0)
    step = formats.quantisation_step(formats.output_subtype(subtype, extension))
    written = write(tmp_path, whole, subtype, extension)
    found = [steps(path) for path in written.paths.values()]
    if not step:
        assert written.gain == 1
        assert found[1].max() == np.float32(peak)
    else:
        assert written.gain == pytest.approx((1 - step) / peak, rel=1e-3)
        assert found[1].max() == pytest.approx(1 - step, abs=step + 2.0**-23)
    for stem, given_stem in zip(found, whole, strict=True):
        assert np.abs(stem - written.gain * given_stem).max() <= step / 2 + 1e-6
    error = np.abs(sum(found) - written.gain * mixture).max()
    assert error <= 3 * (step / 2 + 2.0**-22 * (1 if step else peak))


def test_a_negative_peak_counts_as_much_as_a_positive_one(tmp_path):
    whole = parts(2)
    whole[0, 0, 0] = -2.0
    written = write(tmp_path, whole)
    assert written.gain == pytest.approx(0.5)
    assert steps(written.paths["s0"]).min() == -1


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24"])
def test_full_scale_itself_needs_no_gain(tmp_path, subtype):
    step = formats.quantisation_step(subtype)
    whole = parts(2)
    whole[0, 0, :2] = -1, 1 - step
    written = write(tmp_path, whole, subtype)
    assert written.gain == 1
    assert steps(written.paths["s0"])[0, :2].tolist() == [-1, 1 - step]


def test_stems_are_not_modified_and_may_be_read_only(tmp_path):
    whole = np.asfortranarray(parts(2))
    whole[0, 0, 0] = 1.5
    whole.flags.writeable = False
    before = whole.copy()
    write(tmp_path, whole)
    assert np.array_equal(whole, before)


def test_stems_of_one_block_and_of_many_are_the_same_bytes(tmp_path):
    whole = parts(2)
    one = write(tmp_path / "one", whole, make_blocks=lambda: iter([whole]))
    many = write(tmp_path / "many", whole)
    for name, path in one.paths.items():
        assert path.read_bytes() == many.paths[name].read_bytes()


# --- all or none


@pytest.mark.parametrize(
    "error", [ZeroDivisionError, KeyboardInterrupt, AudioReadError, InvalidAudioError]
)
@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("loud", [True, False])
def test_an_exception_in_the_middle_leaves_no_stem_and_stays_what_it_is(
    tmp_path, error, existing, loud
):
    whole = parts(2)
    whole[0, 0, 0] = 5 if loud else 0

    def breaks_off():
        yield whole[..., :1000]
        raise error("in the middle")

    (tmp_path / "mix").mkdir()
    if existing:
        (tmp_path / "mix" / "s0.wav").write_bytes(b"old")
    with pytest.raises(error):
        write(tmp_path, whole, make_blocks=breaks_off)
    assert files_below(tmp_path) == (["mix/s0.wav"] if existing else [])
    assert not existing or (tmp_path / "mix" / "s0.wav").read_bytes() == b"old"


def test_samples_that_are_not_finite_leave_no_stem(tmp_path):
    whole = parts(2)
    whole[1, 0, 4000] = np.nan
    for subtype in ("PCM_16", "FLOAT"):
        with pytest.raises(InvalidAudioError, match="not finite"):
            write(tmp_path, whole, subtype)
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("name", ["s0", "s1", "s2"])
def test_one_stem_that_cannot_be_put_in_place_leaves_none(tmp_path, name):
    (tmp_path / "mix" / f"{name}.wav").mkdir(parents=True)
    with pytest.raises(OutputError, match=name) as caught:
        write(tmp_path, parts(3))
    assert caught.value.errno in (errno.EISDIR, errno.EEXIST)
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_one_stem_that_does_not_read_back_leaves_none(tmp_path, monkeypatch, bad):
    verify = audio.AudioWriter._verify

    def fail_one(self):
        if self.path.stem == f"s{bad}":
            raise OutputError(errno.EIO, "does not read back")
        verify(self)

    monkeypatch.setattr(audio.AudioWriter, "_verify", fail_one)
    with pytest.raises(OutputError, match="does not read back"):
        write(tmp_path, parts(3))
    assert files_below(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "mix").write_bytes(b"kept")
    with pytest.raises(OutputError):
        write(tmp_path, parts(2))
    assert files_below(tmp_path) == ["mix"]
    assert (tmp_path / "mix").read_bytes() == b"kept"


FULL_DISK = """
import json, resource, signal, sys
import numpy as np
from audionmf import errors
from audionmf.rendering import stems
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
even = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 1, 100_000)).astype(np.float32)
for extension, subtype, gain in json.loads(sys.argv[2]):
    noise = even * np.float32([gain, 1])[:, None, None]
    paths = stems.stem_paths(sys.argv[1], "mix", ["a", "b"], extension=extension)
    form = stems.StemFormat(8000, 1, subtype, 100_000)
    blocks = lambda: (noise[..., i : i + 9000] for i in range(0, 100_000, 9000))
    try:
        stems.write_stems(blocks, paths, form)
    except errors.OutputError as error:
        print(error.errno, errors.exit_code(error))
"""


def test_a_full_disk_leaves_no_stem(tmp_path):
    ways = [
        ("wav", "PCM_16", 1),
        ("wav", "FLOAT", 1),
        ("flac", "PCM_16", 0.01),
        ("wav", "PCM_16", 9),
    ]
    result = child("-c", FULL_DISK, str(tmp_path), json.dumps(ways))
    assert result.stdout.decode().splitlines() == [f"{errno.EFBIG} 4"] * 4, result.stderr
    assert result.stderr == b""
    assert files_below(tmp_path) == []
