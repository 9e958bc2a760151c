"""Manifests: all that stems depend on; the same bytes again, or a word about what differs."""

import dataclasses
import json
import shutil
import threading
import warnings
from pathlib import Path

import malformed
import pytest
from conftest import TINY, TINY_OPTIONS, files_below, sound, tone, two_notes

import audionmf
from audionmf.batch import rerun as module
from audionmf.batch.job import SeparationJob
from audionmf.batch.journal import OutputHash
from audionmf.batch.manifest import Manifest, Recipe, manifest_path, versions
from audionmf.batch.outputs import made_files
from audionmf.batch.rerun import rerun
from audionmf.batch.run import separate_files
from audionmf.errors import (
    AudioNMFWarning,
    AudioReadError,
    AudioWarning,
    OutputError,
    ParameterError,
    TemplateError,
)
from audionmf.io.files import file_hash


@pytest.fixture
def bank(tmp_path):
    example = sound(tmp_path / "in" / "low.wav", tone(330))
    return audionmf.learn(example, "low", 3, settings=TINY).save(tmp_path / "in" / "low.npz")


@pytest.fixture
def job(mixture, tmp_path, bank):
    high = sound(tmp_path / "in" / "high.wav", tone(880))
    return SeparationJob(
        mixture, tmp_path / "out", templates=[bank], examples={"high": [high]}, settings=TINY
    )


@pytest.fixture
def manifest(job):
    assert separate_files([job], journal=False).exit_code == 0
    return manifest_path(job)


def stems_of(folder):
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.wav")}


def changed(path, **values):
    """Change a manifest by hand."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


# --- what it holds


def test_it_holds_all_that_the_stems_depend_on_and_what_came_out(manifest, job, tmp_path):
    found = json.loads(manifest.read_text())
    assert set(found["versions"]) == {
        "audionmf", "python", "numpy", "scipy", "numba", "libsndfile", "machine",
    }  # fmt: skip
    assert found["versions"] == versions()
    assert found["inputs"] == {path: file_hash(path) for path in job.inputs()}
    assert len(found["inputs"]) == 3
    fields = {field.name for field in dataclasses.fields(SeparationJob)}
    assert set(found["job"]) == fields - {"folder", "report"}
    settings = {field.name for field in dataclasses.fields(audionmf.Settings)}
    assert set(found["job"]["settings"]) == settings - {
        "n_threads",
        "device",
    }  # the processor is not told
    assert found["job"]["settings"]["seed"] == 0
    for name in ("low", "high"):
        path = tmp_path / "out" / "mix" / f"{name}.wav"
        assert found["stems"][name] == {
            "file": f"mix/{name}.wav", "sha256": file_hash(path), "n_bytes": path.stat().st_size,
        }  # fmt: skip
    assert found["gain"] == 1
    assert set(found["trust"]) >= {"energy_share", "overlap", "explained"}
    assert Manifest.load(manifest).to_dict() == found


def test_a_blind_separation_keeps_its_divergence_and_why_it_stopped(mixture, tmp_path):
    job = SeparationJob(mixture, tmp_path / "out", n_sources=2, settings=TINY)
    separate_files([job], journal=False)
    found = Manifest.load(manifest_path(job))
    assert len(found.divergence) > 1
    assert found.reason == "max_iter"


def test_it_is_the_same_bytes_in_any_folder_from_any_path_and_for_any_threads(
    manifest, job, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path / "in")
    settings = dataclasses.replace(TINY, n_threads=3)
    other = dataclasses.replace(
        job, input="mix.wav", folder=tmp_path / "other", templates=["low.npz"], settings=settings
    )
    separate_files([other], journal=False)
    assert manifest_path(other).read_bytes() == manifest.read_bytes()


def test_a_silent_recording_has_a_manifest_too(tmp_path):
    silent = sound(tmp_path / "silent.wav", 0 * two_notes())
    job = SeparationJob(silent, tmp_path / "out", n_sources=2, settings=TINY)
    assert separate_files([job], journal=False).exit_code == 0
    assert Manifest.load(manifest_path(job)).to_dict()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{track}/{source}.{ext}", "a mix/manifest.json"),
        ("stems/{track} (nmf)/{source}.{ext}", "stems/a mix (nmf)/manifest.json"),
        ("{track}/{source}/it.{ext}", "a mix/manifest.json"),
        ("{track}-{source}.{ext}", "a mix.manifest.json"),
        ("{source}/{track}.{ext}", "a mix.manifest.json"),
        ("x/{source}.{ext}", "x/a mix.manifest.json"),
    ],
)
def test_its_name_follows_the_pattern(tmp_path, pattern, expected):
    job = SeparationJob("in/a mix.wav", tmp_path, pattern=pattern)
    assert manifest_path(job) == tmp_path / expected


def test_another_programs_file_is_not_overwritten(run, mixture, tmp_path):
    path = tmp_path / "out" / "mix" / "manifest.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"name": "a web page"}')
    code, _, err = run("separate", mixture, "--n-sources", 2, "-o", tmp_path / "out", *TINY_OPTIONS)
    assert code == 4
    assert err.count("\n") == 1
    assert repr(str(path)) in err
    assert files_below(tmp_path / "out") == ["mix/manifest.json"]
    assert path.read_text() == '{"name": "a web page"}'


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b"null", b"\xff", b'{"format": "audionmf manifest"}', b"[" * 99999,
     b'{"format": "audionmf manifest", "version": 1, "job": 3}'],
)  # fmt: skip
def test_what_is_no_manifest_is_refused(tmp_path, content):
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(TemplateError, match="is not a manifest"):
        Manifest.load(path)


def test_a_manifest_of_a_later_version_says_so(manifest):
    changed(manifest, version=2)
    with pytest.raises(TemplateError, match="version 2"):
        Manifest.load(manifest)


def test_the_key_of_a_recipe_changes_with_all_that_it_holds(job, mixture):
    key = Recipe.of(job).key
    assert Recipe.of(dataclasses.replace(job, folder="elsewhere")).key == key
    others = [
        dataclasses.replace(job, residual="rest"),
        dataclasses.replace(job, settings=dataclasses.replace(TINY, seed=1)),
        dataclasses.replace(job, examples={"other": job.examples["high"]}),
    ]
    assert key not in [Recipe.of(other).key for other in others]
    sound(mixture, 0.5 * two_notes())
    assert Recipe.of(job).key != key


# --- again


def test_rerun_makes_deleted_stems_again_in_their_place(manifest):
    before = stems_of(manifest.parent)
    (manifest.parent / "low.wav").unlink()
    (manifest.parent / "high.wav").write_bytes(b"damaged")
    made = rerun(manifest)
    assert made.written
    assert (made.differing, made.versions) == ((), {})
    assert stems_of(manifest.parent) == before
    assert files_below(manifest.parent.parent) == [
        "mix/high.wav",
        "mix/low.wav",
        "mix/manifest.json",
    ]


def test_rerun_into_another_folder_gives_the_same_bytes_there(manifest, tmp_path):
    made = rerun(manifest, tmp_path / "again")
    assert made.written
    assert not made.differing
    assert stems_of(tmp_path / "again" / "mix") == stems_of(manifest.parent)
    again = tmp_path / "again" / "mix" / "manifest.json"
    assert again.read_bytes() == manifest.read_bytes()


SCORE = malformed.midi(
    malformed.track(b"\0\xff\x03\x03low", b"\0\x90\x40\x50", b"\x83\x60\x80\x40\0"),
    malformed.track(b"\0\xff\x03\x04high", b"\0\x90\x51\x50", b"\x83\x60\x80\x51\0"),
)
WAYS = {
    "blind": {"n_sources": 2},
    "blind, so many as are found": {},
    "midi": {"midi": "score.mid", "export": ("midi", "labels", "csv")},
    "solo": {"solo": {"low": [(0, 0.2)]}, "free": 2},
    "absent": {"templates": ["low.npz"], "absent": {"low": [(0.3, 0.5)]}, "free": 2},
    "example": {"examples": {"low": ["low.wav"], "high": ["high.wav"]}},
    "residual": {"templates": ["low.npz"], "residual": "rest"},
    "only": {"templates": ["low.npz"], "examples": {"high": ["high.wav"]}, "only": "low"},
    "notes": {"templates": ["low.npz"], "free": 2, "export": ("csv", "midi")},
    "one folder for each source": {"pattern": "{source}/{track}.{ext}"},
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_whatever_was_asked_for_can_be_made_again(way, mixture, bank, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "in")
    Path("score.mid").write_bytes(SCORE)
    sound(tmp_path / "in" / "high.wav", tone(880))
    options = {"settings": TINY, **WAYS[way]}
    if "n_components" not in options and "templates" not in options:
        options["settings"] = dataclasses.replace(TINY, n_components=4)
    job = SeparationJob(mixture, tmp_path / "out", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AudioWarning)
        [outcome] = separate_files([job], journal=False).outcomes
        assert outcome.state == "done", outcome.message
        out = tmp_path / "out"
        before = {name: (out / name).read_bytes() for name in files_below(out)}
        for name in before:
            if not name.endswith(".json"):
                (out / name).unlink()
        made = rerun(manifest_path(job))
        assert made.same
        assert made.written
        assert {name: (out / name).read_bytes() for name in files_below(out)} == before
        assert set(made.notes) == set(options.get("export", ()))
        assert all(path.exists() for path in [*made.stems.values(), *made.notes.values()])
        assert rerun(manifest_path(job), tmp_path / "again").same
    again = tmp_path / "again"
    assert {name: (again / name).read_bytes() for name in files_below(again)} == before
    assert not [path for path in out.rglob("*") if path.is_dir() and not any(path.iterdir())]


def test_notes_that_differ_are_told_and_nothing_is_put_in_place(run, mixture, bank, tmp_path):
    job = SeparationJob(
        mixture, tmp_path / "out", templates=[bank], free=2, export=["csv"], settings=TINY
    )
    separate_files([job], journal=False)
    manifest = manifest_path(job)
    notes = json.loads(manifest.read_text())["notes"]
    notes["csv"]["sha256"] = "0" * 64
    changed(manifest, notes=notes)
    (manifest.parent / "low.wav").unlink()
    code, out, err = run("rerun", manifest)
    assert (code, out) == (1, "")
    assert "the notes as csv are not what they were" in err
    assert "nothing was written" in err
    assert not (manifest.parent / "low.wav").exists()
    code, out, err = run("rerun", manifest, "-o", tmp_path / "again", "--json")
    assert code == 1
    assert json.loads(out)["differing_notes"] == ["csv"]
    assert Path(json.loads(out)["notes"]["csv"]).exists()


def test_a_manifest_without_notes_is_read(manifest):
    values = json.loads(manifest.read_text())
    del values["notes"], values["job"]["export"]
    manifest.write_text(json.dumps(values))
    assert rerun(manifest).same


def other_hash(manifest, name):
    stems = json.loads(manifest.read_text())["stems"]
    stems[name]["sha256"] = "0" * 64
    changed(manifest, stems=stems)


def test_stems_that_differ_are_named_and_not_put_in_place(run, manifest, tmp_path):
    other_hash(manifest, "low")
    (manifest.parent / "low.wav").write_bytes(b"kept")
    code, out, err = run("rerun", manifest)
    assert (code, out) == (1, "")
    assert "'low'" in err
    assert "'high'" not in err
    assert "nothing was written" in err
    assert (manifest.parent / "low.wav").read_bytes() == b"kept"
    code, out, err = run("rerun", manifest, "-o", tmp_path / "again", "--json")
    assert code == 1
    assert json.loads(out)["differing"] == ["low"]
    assert Path(json.loads(out)["stems"]["low"]).exists()


def test_a_changed_recording_and_a_changed_template_file_are_refused(manifest, job, run, mixture):
    before = stems_of(manifest.parent)
    shutil.copy(mixture, mixture.with_suffix(".bak"))
    sound(mixture, 0.5 * two_notes())
    with pytest.raises(AudioReadError, match="not what it was"):
        rerun(manifest)
    assert run("rerun", manifest)[0] == 3
    shutil.copy(mixture.with_suffix(".bak"), mixture)
    with Path(job.templates[0]).open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(TemplateError, match="not what it was"):
        rerun(manifest)
    assert run("rerun", manifest)[0] == 5
    Path(job.templates[0]).unlink()
    assert run("rerun", manifest)[0] == 3
    assert stems_of(manifest.parent) == before


def test_other_versions_are_told_and_the_bytes_decide(manifest, run):
    then = {**versions(), "numpy": "1.0"}
    changed(manifest, versions=then)
    with pytest.warns(AudioNMFWarning, match="numpy 1.0, now"):
        made = rerun(manifest)
    assert made.versions == {"numpy": ("1.0", versions()["numpy"])}
    assert made.written
    assert run("rerun", manifest, "--strict")[0] == 1


def test_a_moved_recording_is_named(manifest, mixture, tmp_path):
    moved = tmp_path / "elsewhere" / "mix.flac"
    moved.parent.mkdir()
    mixture.rename(moved)
    with pytest.raises(FileNotFoundError):
        rerun(manifest, root=tmp_path / "in")
    assert rerun(manifest, mixture=moved).written
    with pytest.raises(ParameterError, match="another name"):
        rerun(manifest, mixture=tmp_path / "other.wav")


def test_a_project_that_was_moved_is_found_by_name_and_content(manifest, mixture, tmp_path, run):
    before = stems_of(manifest.parent)
    sound(
        tmp_path / "in" / "away" / mixture.name, tone(100)
    )  # of that name, but not of those bytes
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder in ("in", "out"):
        (tmp_path / folder).rename(elsewhere / folder)
    moved = elsewhere / manifest.relative_to(tmp_path)
    for stem in moved.parent.glob("*.wav"):
        stem.unlink()
    assert rerun(moved).written
    assert stems_of(moved.parent) == before
    copied = tmp_path / "copied" / "out"
    shutil.copytree(elsewhere / "out", copied)
    (elsewhere / "in").rename(tmp_path / "sounds")
    again = copied / moved.parent.name / moved.name
    with pytest.raises(FileNotFoundError):
        rerun(again)
    code, _, err = run("rerun", again, "--root", tmp_path / "sounds")
    assert code == 0, err


def test_a_job_from_a_stranger_searches_no_folder(tmp_path):
    with pytest.raises(ParameterError, match="files, not folders"):
        SeparationJob.from_dict({"input": "x.wav", "examples": {"a": [str(tmp_path)]}})


def test_a_moved_manifest_needs_a_folder(manifest, tmp_path):
    moved = shutil.copy(manifest, tmp_path / "kept.json")
    with pytest.raises(ParameterError, match="-o"):
        rerun(moved)
    assert rerun(moved, tmp_path / "again").written


def test_a_manifest_from_a_stranger_writes_nothing_outside_the_folder(manifest, tmp_path):
    job = json.loads(manifest.read_text())["job"]
    changed(manifest, job={**job, "pattern": "../../{track}/{source}.{ext}"})
    before = files_below(tmp_path)
    for folder in (None, tmp_path / "again"):
        with pytest.raises(ParameterError):
            rerun(manifest, folder)
    changed(manifest, job={**job, "n_source": 3})
    with pytest.raises(TemplateError, match="n_source"):
        rerun(manifest)
    changed(manifest, job={**job, "examples": {"other": job["examples"]["high"]}})
    with pytest.raises(OutputError, match="changed"):
        rerun(manifest)
    assert files_below(tmp_path) == before


def test_an_interrupt_leaves_all_as_it_was(manifest, tmp_path, monkeypatch):
    before = {name: (tmp_path / name).read_bytes() for name in files_below(tmp_path)}

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_put_in_place", interrupt)
    with pytest.raises(KeyboardInterrupt):
        rerun(manifest)
    assert {name: (tmp_path / name).read_bytes() for name in files_below(tmp_path)} == before


def test_what_a_killed_rerun_left_is_cleared_away(manifest, tmp_path):
    left = tmp_path / "out" / ".audionmf" / "rerun-abc" / "mix"
    left.mkdir(parents=True)
    (left / "low.wav").touch()
    rerun(manifest)
    assert not (tmp_path / "out" / ".audionmf").exists()


def test_a_card_is_kept_and_the_processor_goes_without_saying(job):
    on = dataclasses.replace(job, settings=dataclasses.replace(TINY, device="cuda:1"))
    kept = Recipe.of(on)
    assert kept.job["settings"]["device"] == "cuda:1"
    assert kept.to_job("out").settings.device == "cuda:1"
    assert Recipe.of(job).to_job("out").settings.device == "cpu"


def test_files_are_looked_at_side_by_side(tmp_path, monkeypatch):
    paths = {name: tmp_path / f"{name}.wav" for name in "ab"}
    for name, path in paths.items():
        path.write_bytes(name.encode())
    wanted = made_files(paths, tmp_path)
    both, of = threading.Barrier(2, timeout=10), OutputHash.of
    monkeypatch.setattr(OutputHash, "of", lambda path: both.wait() is not None and of(path))
    assert made_files(paths, tmp_path, 2) == wanted
    assert [file for file, _ in wanted.values()] == ["a.wav", "b.wav"]
