"""What a stranger's files ask for is held against stated bounds before any work is done."""

import json
import os
import struct
import time

import malformed
import numpy as np
import pytest
from conftest import TINY, files_below, sound, two_notes

from audionmf.batch.job import SeparationJob
from audionmf.batch.manifest import Manifest, manifest_path
from audionmf.batch.run import separate_files
from audionmf.errors import LimitError, OutputError, ParameterError, TemplateError
from audionmf.rendering.absent import absent_frames
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.grouping import parse_groups
from audionmf.rendering.stems import stem_paths
from audionmf.settings import Settings
from audionmf.sources.labels import MOST_LABELLED, MOST_LABELS, Labels, Range, read_labels
from audionmf.sources.templates import MOST_COMPONENTS, Templates
from audionmf.spectra.stft import STFT


def npy_header(shape, n_bytes=0):
    """Return a .npy file that claims a shape."""
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + bytes(n_bytes)


# --- banks and models


def test_a_small_file_of_endless_components_is_refused_at_once(tmp_path):
    path = tmp_path / "bank.npz"
    stft = {"n_fft": 2, "hop_length": 1, "window": "boxcar"}
    labels = ["a"] * 400_000
    content = malformed.archive(
        {**malformed.METADATA, "stft": stft, "labels": labels},
        templates=np.ones((2, 400_000), np.float32),
    )
    path.write_bytes(content)
    assert len(content) < 1 << 20
    begin = time.process_time()
    with pytest.raises(TemplateError, match=f"400000 components; {MOST_COMPONENTS} is the most"):
        Templates.load(path)
    assert time.process_time() - begin < 1


def test_banks_have_no_more_templates_when_they_are_joined():
    labels = ("a",) * (MOST_COMPONENTS // 2 + 1)
    stft = STFT(2, 1, "boxcar")
    bank = Templates(np.ones((2, len(labels)), np.float32), labels, stft, 8000)
    with pytest.raises(TemplateError, match="more than the"):
        Templates.merge([bank, bank])


@pytest.mark.parametrize("shape", [(2**70, 0), (0, 2**70), (2**70, 2**70), (-1, -1), (2**40, 2)])
def test_a_shape_that_no_array_has_is_refused(tmp_path, shape):
    path = tmp_path / "bank.npz"
    path.write_bytes(malformed.archive(templates=npy_header(shape, 4 if shape == (-1, -1) else 0)))
    with pytest.raises(TemplateError):
        Templates.load(path)


def test_a_directory_of_endless_members_is_not_read(tmp_path):
    members = {f"m{i:05}": b"" for i in range(3000)}
    path = tmp_path / "bank.npz"
    path.write_bytes(malformed.archive(**members))
    with pytest.raises(TemplateError, match="not an audionmf templates file"):
        Templates.load(path)


WRONG = {
    "settings": [{"activation_iter": 10**12}, {"max_iter": 10**6}, {"max_frames": 10**12}, [], 3],
    "mixture": [
        {**malformed.MODEL_METADATA["mixture"], "n_samples": 10**400},
        {**malformed.MODEL_METADATA["mixture"], "n_channels": 65},
        {**malformed.MODEL_METADATA["mixture"], "n_samples": True},
        "x",
    ],
    "divergence": [[10**400], ["x"], 3, [None]],
    "grouping": [[["a", [0.0]], ["b", [1]]], [["a", [float("inf")]]], [[3, [0, 1]]], {"a": 3}],
    "absent": [[["a", [[0, 1e400]]]], [["a", [["0", "1"]]]], [[3, []]], [["a", [[-1, 2]]]], 7],
    "reason": ["\x1b[2J", "x" * 1000, 3, None],
    "remarks": [[3], 3],
    "keys": [[0.5, 1], [128, 0], [-2, 0], 3],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_field_of_a_model_of_another_type_or_range_is_refused(tmp_path, name, value):
    path = tmp_path / "model.npz"
    path.write_bytes(malformed.archive({**malformed.MODEL_METADATA, name: value}))
    with pytest.raises(TemplateError) as caught:
        Decomposition.load(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_runs_of_frames_are_those_that_they_were():
    runs = [(3, 5), (4, 9), (12, 13), (3, 4)]
    found = absent_frames({"a": runs}, ["a", "b"], range(2, 15))
    assert found[0].tolist() == [any(a <= t < b for a, b in runs) for t in range(2, 15)]
    assert not found[1].any()


# --- numbers with a cost


def test_a_group_of_endless_components_is_refused_at_once():
    begin = time.process_time()
    with pytest.raises(LimitError, match="'z'"):
        parse_groups(["z=0-1000000000000"])
    with pytest.raises(LimitError, match="'z'"):
        parse_groups(["z=" + ",".join(["0-9999"] * 1000)])
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    "option", ["max_iter", "activation_iter", "adapt_iter", "max_frames", "seed"]
)
@pytest.mark.parametrize("value", [10**30, 10**5000], ids=["30 digits", "5000 digits"])
def test_no_option_is_without_a_bound(option, value):
    with pytest.raises(ParameterError, match=f"{option} must be"):
        Settings(**{option: value})


def test_a_hundred_thousand_labels_are_refused_at_once(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"{i}\t{i}.5\ta\n" for i in range(100_000)))
    begin = time.process_time()
    with pytest.raises(LimitError, match=f"{MOST_LABELS} labels"):
        read_labels(path)
    assert time.process_time() - begin < 1


def test_as_many_labels_as_there_may_be_are_quick():
    solo = tuple(Range("ab"[i % 2], i, i + 1) for i in range(MOST_LABELS))
    begin = time.process_time()
    Labels(solo, ())
    assert time.process_time() - begin < 1
    with pytest.raises(LimitError, match="ranges"):
        Labels((*solo, Range("a", 10**6, 10**6 + 1)), ())
    with pytest.raises(LimitError, match="sources"):
        Labels(tuple(Range(str(i), i, i + 1) for i in range(MOST_LABELLED + 1)), ())


@pytest.mark.parametrize("seconds", [10**400, 1e300, float("nan"), -1, 2**80])
def test_a_time_that_no_recording_has_is_refused(seconds):
    with pytest.raises(ParameterError):
        Range("a", 0, seconds)


def test_endless_further_components_are_refused(tmp_path):
    mix = sound(tmp_path / "mix.wav", two_notes())
    job = SeparationJob(mix, examples={"a": [mix]}, free=10**9)
    with pytest.raises(LimitError, match="further components"):
        job.planned()


# --- manifests


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The values of a manifest."""
    folder = tmp_path_factory.mktemp("manifest")
    mix = sound(folder / "mix.wav", two_notes())
    job = SeparationJob(mix, folder / "out", n_sources=2, settings=TINY)
    assert separate_files([job], journal=False).exit_code == 0
    return json.loads(manifest_path(job).read_text())


STEM = {"file": "a.wav", "sha256": "00", "n_bytes": 1}
FIELDS = {
    "gain": [10**400, -1, 1.5, "1", None, True, float("nan")],
    "divergence": [[10**400], "12", [float("inf")], 3],
    "reason": ["\x1b[2J", 3, "x" * 1000],
    "versions": [{"numpy": "\x1b[2J"}, {"a\nb": "1"}, [], {"numpy": 3}],
    "inputs": [[], {"a": 3}],
    "trust": [[], 3],
    "stems": [
        {"a": {**STEM, "n_bytes": 10**30}},
        {"a": {**STEM, "n_bytes": -1}},
        {"a": {**STEM, "n_bytes": "3"}},
        {"a": {**STEM, "file": 3}},
        {"a": 3},
        [],
    ],
    "job": [3, [], {str(i): 0 for i in range(100)}],
    "version": [2, "\x1b[2J", "x" * 10**6, [[]], None],
    "format": [None, 3],
}
JOB = {
    "input": [3, "a\0b", None, "x" * 10**6],
    "n_sources": ["2", 2.5, True, [2]],
    "templates": ["x", [3], {"a": 1}],
    "examples": [[], {"a": "x"}, {"a": [3]}],
    "free": ["1", None, 1.5],
    "solo": [{"a": [[0]]}, {"a": 3}, {"a": [["0", "1"]]}, []],
    "convert": [1, "yes"],
    "lead": [0],
    "split_at": [1.5, [3]],
    "pattern": [3],
    "export": ["midi", [3]],
    "settings": [[], {"max_iter": 10**30}, {"n_fft": "x"}, {"no": 1}],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in FIELDS.items() for value in values]
    + [(f"job.{name}", value) for name, values in JOB.items() for value in values],
)
def test_a_field_of_a_manifest_of_another_type_or_range_is_refused(kept, tmp_path, name, value):
    path = tmp_path / "manifest.json"
    outer, _, inner = name.partition(".")
    changed = {**kept[outer], inner: value} if inner else value
    path.write_text(json.dumps({**kept, outer: changed}))
    with pytest.raises(TemplateError, match=r"manifest\.json") as caught:
        Manifest.load(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_manifest_as_it_was_written_is_read(kept, tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(kept))
    assert Manifest.load(path).to_dict() == kept


def test_a_manifest_of_many_megabytes_is_not_read(kept, tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**kept, "trust": {"x": "y" * (9 << 20)}}))
    with pytest.raises(TemplateError, match="not a manifest"):
        Manifest.load(path)


# --- names and links


@pytest.mark.parametrize("pattern", ["x" * 300 + "{source}.{ext}", "{track}{track}{source}.{ext}"])
def test_a_name_that_no_file_may_have_is_refused_before_any_work(tmp_path, pattern):
    with pytest.raises(ParameterError, match="shorten"):
        stem_paths(tmp_path, "t" * 200, ["s" * 200], pattern)


def test_a_folder_of_too_long_a_name_is_an_output_error(run, mixture, tmp_path):
    code, _, err = run("separate", mixture, "-o", tmp_path / ("x" * 300))
    assert code == 4
    assert err.count("\n") == 1
    assert "unexpected" not in err


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_a_link_in_the_output_folder_leads_nothing_out_of_it(run, mixture, tmp_path):
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    out.mkdir()
    (out / "mix").symlink_to(elsewhere)
    with pytest.raises(OutputError, match="by a link"):
        stem_paths(out, "mix", ["a"])
    code, _, err = run("separate", mixture, "--n-sources", "2", "-o", out)
    assert code == 4
    assert "by a link" in err
    assert files_below(elsewhere) == []
