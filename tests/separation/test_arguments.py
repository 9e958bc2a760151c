"""What people give by mistake, or as other packages have it: right, or one line that helps."""

import numpy as np
import pytest
from conftest import RATE, TINY

import audionmf
from audionmf import AudioNMFError, Known

TIMES = np.arange(RATE) / RATE
SOUND = 0.3 * np.sin(2 * np.pi * 440 * TIMES) + 0.2 * np.sin(2 * np.pi * 1000 * TIMES) * (
    TIMES % 0.4 < 0.1
)


class Tensor:
    """As torch has it: what needs a gradient, or lies on a GPU, becomes no array by itself."""

    def __init__(self, values):
        self.values = values

    def detach(self):
        """Only its name is looked at."""

    def __array__(self, dtype=None, copy=None):
        if self.values is None:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.\nUse …")
        return np.asarray(self.values, dtype)


class Table:
    """As pandas has it: a column a channel."""

    def __init__(self, columns):
        self.columns, self.iloc = list(columns), None
        self._values = np.stack(list(columns.values()), axis=1)

    def to_numpy(self):
        return self._values


def apart(mixture=SOUND, *given, sample_rate=RATE, **options):
    return audionmf.separate(
        mixture, *given, **{"settings": TINY, "sample_rate": sample_rate, **options}
    )


def noted(**options):
    audionmf.transcribe(SOUND, sample_rate=RATE, **options)


def in_files(**options):
    audionmf.separate_files(__file__, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_sources": 0}, "whole number, 1 or more"),
        ({"n_sources": "3"}, "not '3'"),
        ({"n_sources": 2.0}, "not 2.0"),
        ({"n_sources": True}, "not True"),
        ({"examples": "a.wav"}, "mapping from names to recordings"),
        ({"examples": {"a": []}}, "the example of 'a' is empty"),
        ({"examples": {"a": None}}, "the example of 'a' is empty"),
        ({"sources": 3}, "n_sources=3"),
        ({"sources": {"a": "a.wav"}}, r"Known\(example='a.wav'\)"),
        ({"examples": {"a": 3}}, "a recording is a path.* not int"),
        ({"examples": {3: SOUND}}, "a name is text, such as '3', not 3"),
        ({"n_source": 2}, "did you mean 'n_sources'"),
        ({"settings": {"n_fft": 512}}, r"Settings\(n_fft=2048\)"),
    ],
)
def test_a_wrong_argument_is_one_line_that_says_what_to_do(options, words):
    with pytest.raises(AudioNMFError, match=words) as caught:
        apart(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [None, 3, {"samples": 1}, Tensor(None), (SOUND, RATE), b"RIFF"])
def test_what_is_no_recording_is_one_line(given):
    with pytest.raises(AudioNMFError) as caught:
        apart(given, n_sources=2)
    assert "\n" not in str(caught.value)


def test_an_array_is_not_written_without_its_rate(tmp_path):
    with pytest.raises(
        AudioNMFError, match=r"not ndarray; .*audionmf\.Audio\(samples, sample_rate"
    ):
        audionmf.write(tmp_path / "a.wav", SOUND)


def test_a_tensor_that_is_no_array_says_how_it_becomes_one():
    with pytest.raises(AudioNMFError, match=r"give samples.detach\(\).cpu\(\).numpy\(\)"):
        audionmf.Audio(Tensor(None), RATE)
    short = Tensor(None)
    short.dtype = "torch.bfloat16"  # NumPy has no such numbers
    with pytest.raises(AudioNMFError, match=r"give samples.detach\(\).float\(\).cpu\(\).numpy\(\)"):
        audionmf.Audio(short, RATE)


def test_tensors_and_tables_are_samples():
    two = np.stack([SOUND, SOUND[::-1]])
    for given in (Tensor(two), Table({"left": two[0], "right": two[1]}), two.tolist()):
        np.testing.assert_array_equal(audionmf.Audio(given, RATE).samples, two.astype(np.float32))


def test_numbers_of_numpy_and_no_examples_are_right():
    assert len(apart(n_sources=np.int64(2)).sources) == 2
    assert len(apart(examples={}, n_sources=2).sources) == 2
    nothing = dict.fromkeys(("examples", "templates", "solo", "absent", "kit", "sources"))
    assert len(apart(**nothing, n_sources=2).sources) == 2


@pytest.mark.parametrize("empty", [
    {"examples": {}}, {"templates": []}, {"templates": (), "n_sources": None}, {"solo": {}},
    {"absent": {}}, {"kit": {}}, {"sources": {}, "free": 0, "lead": False},
])  # fmt: skip
def test_an_empty_mapping_alone_is_no_blind_separation(empty):
    name = next(iter(empty))
    for call in (apart, noted, in_files):
        if not (call is in_files and name == "sources"):
            with pytest.raises(audionmf.ParameterError, match=f"^{name}= is empty") as caught:
                call(**empty)
            assert "\n" not in str(caught.value)


def test_whole_numbers_are_scaled_by_their_full_scale():
    steps = np.round(SOUND * 32767).astype(np.int16)
    np.testing.assert_allclose(audionmf.Audio(steps, RATE).samples[0], SOUND, atol=1e-4)


@pytest.mark.parametrize(
    "call",
    [
        lambda stop: apart(n_sources=2, progress=stop),
        lambda stop: audionmf.transcribe(SOUND, sample_rate=RATE, progress=stop),
        lambda stop: audionmf.learn(SOUND, name="a", sample_rate=RATE, progress=stop),
        lambda stop: audionmf.remix(
            SOUND, {}, n_sources=2, sample_rate=RATE, progress=stop, settings=TINY
        ),
        lambda stop: audionmf.denoise(
            SOUND, (0, 0.5), sample_rate=RATE, progress=stop, settings=TINY
        ),
        lambda stop: audionmf.analyse(
            SOUND, components=True, sample_rate=RATE, progress=stop, settings=TINY
        ),
        lambda stop: apart(examples={"a": SOUND[: RATE // 2]}, progress=stop),
    ],
)
def test_progress_stops_the_work_by_returning_true(call):
    told = []

    def stop(stage, done):
        told.append(stage)
        return True

    with pytest.raises(audionmf.StoppedError, match="stopped while at") as caught:
        call(stop)
    assert len(told) == 1
    assert audionmf.errors.exit_code(caught.value) == 130


def test_nothing_else_that_a_progress_bar_returns_stops_the_work():
    assert len(apart(n_sources=2, progress=lambda stage, done: 1 + done).sources) == 2  # type: ignore[arg-type]


def test_what_is_public_shows_itself_in_one_line():
    done = apart(n_sources=2)
    found = done.decomposition
    V = np.abs(np.random.default_rng(0).standard_normal((30, 400)))
    many = [
        done, found, found.templates, done.trust, done.remix({}), done.notes(),
        audionmf.nmf.fit(V, 3, max_iter=3), Known(example=SOUND, alone=[(0, 1)]),
        Known(example="a.wav"),
    ]  # fmt: skip
    for one in many:
        assert len(repr(one)) <= 200
        assert "array(" not in repr(one)
        assert "\n" not in repr(one)
    assert repr(Known(example="a.wav")) == "Known(example='a.wav')"
    assert "'source1', 'source2'" in repr(done)
