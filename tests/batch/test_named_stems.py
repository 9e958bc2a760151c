"""Stems whose names are known when they are heard: files, manifests, resuming, a dry run."""

import dataclasses
import json
from pathlib import Path

import pytest
from conftest import TINY, TINY_OPTIONS, files_below, sound, tone

from audionmf.batch.job import SeparationJob
from audionmf.batch.manifest import Manifest
from audionmf.batch.rerun import rerun
from audionmf.batch.run import separate_files
from audionmf.errors import ParameterError

SETTINGS = dataclasses.replace(TINY, n_components=3, names="heard")


@pytest.fixture
def job(tmp_path):
    path = sound(tmp_path / "in" / "mix.wav", tone(300, 20_000) + tone(2500, 20_000))
    return SeparationJob(str(path), str(tmp_path / "out"), n_sources=3, settings=SETTINGS)


def stems(folder):
    return {Path(name).stem for name in files_below(Path(folder)) if name.endswith(".wav")}


def outcome(job, **options):
    (found,) = separate_files([job], **options).outcomes
    assert found.code == 0, found.message
    return found


def test_files_are_named_by_what_is_heard_and_the_manifest_tells(job):
    done = outcome(job)
    assert stems(job.folder) == set(done.stems) == set(Manifest.load(done.manifest).stems)
    assert not any(name.startswith("source") for name in done.stems)
    assert len(done.stems) == 3


def test_what_is_finished_is_kept_and_what_is_missing_is_made_again(job):
    first = outcome(job)
    assert outcome(job, resume=True).state == "kept"
    gone = Path(next(iter(first.stems.values())))
    before = gone.read_bytes()
    gone.unlink()
    assert outcome(job, resume=True).state == "done"
    assert gone.read_bytes() == before


def test_no_stems_of_two_blind_runs_lie_side_by_side(job):
    outcome(job)
    fewer = outcome(dataclasses.replace(job, n_sources=1))
    assert stems(job.folder) == set(fewer.stems)
    plain = dataclasses.replace(job, settings=dataclasses.replace(SETTINGS, names="plain"))
    assert set(outcome(plain).stems) == stems(job.folder) == {"source1", "source2", "source3"}


def test_what_was_changed_or_is_elsewhere_is_never_removed(job, tmp_path):
    first = outcome(job)
    changed, moved, kept = (Path(path) for path in first.stems.values())
    changed.write_bytes(changed.read_bytes() + b"mine")
    victim = tmp_path / "victim.wav"
    victim.write_bytes(moved.read_bytes())
    values = json.loads(Path(first.manifest).read_text())
    name = moved.stem
    values["stems"][name]["file"] = "../victim.wav"
    Path(first.manifest).write_text(json.dumps(values))
    outcome(dataclasses.replace(job, settings=dataclasses.replace(SETTINGS, names="plain")))
    assert victim.exists()
    assert changed.exists()
    assert not kept.exists()


def test_one_source_by_its_name_and_a_name_that_is_not_there(job):
    name = next(iter(outcome(job).stems))
    assert set(outcome(dataclasses.replace(job, only=name)).stems) == {name, "rest"}
    from audionmf.batch.job import run_job

    with pytest.raises(ParameterError, match="no source 'trombone'; there are '"):
        run_job(dataclasses.replace(job, only="trombone"))


def test_a_rerun_gives_the_same_stems(job, tmp_path):
    done = outcome(job)
    assert rerun(done.manifest).same
    assert rerun(done.manifest, tmp_path / "again").same
    assert stems(tmp_path / "again") == set(done.stems)


def test_a_manifest_from_before_there_were_names_means_plain_ones(job):
    plain = dataclasses.replace(job, settings=dataclasses.replace(SETTINGS, names="plain"))
    done = outcome(plain)
    values = json.loads(Path(done.manifest).read_text())
    del values["job"]["settings"]["names"]
    Path(done.manifest).write_text(json.dumps(values))
    assert set(rerun(done.manifest).stems) == {"source1", "source2", "source3"}


def test_a_dry_run_says_that_names_are_not_known_yet(run, job):
    given = ("separate", job.input, "--n-sources", 3, "-o", job.folder, *TINY_OPTIONS, "--dry-run")
    code, text, err = run(*given)
    assert (code, err) == (0, "")
    assert "mix/SOURCE.wav, 3 of them: SOURCE will be what is heard" in text
    assert "mix/manifest.json" in text
    assert "source1.wav" not in text
    code, text, _ = run(*given, "--json")
    assert json.loads(text)["stems"] is None
    assert not Path(job.folder).exists()
    assert "mix/source3.wav" in run(*given, "--names", "plain")[1]
