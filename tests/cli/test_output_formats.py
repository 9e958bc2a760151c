"""`--format` and `--subtype` at the shell."""

import pytest
from conftest import TINY_OPTIONS, sound, two_notes

import audionmf


@pytest.mark.parametrize(
    ("options", "name", "subtype"),
    [
        (("--format", "mp3"), "source1.mp3", "MPEG_LAYER_III"),
        (("--format", "ogg"), "source1.ogg", "VORBIS"),
        (("--format", "opus"), "source1.opus", "OPUS"),
        (("--subtype", "FLOAT"), "source1.wav", "FLOAT"),
        (("--format", "flac", "--subtype", "PCM_24"), "source1.flac", "PCM_24"),
    ],
)
def test_stems_in_other_formats(run, mixture, tmp_path, options, name, subtype):
    blind = ("--n-sources", 2, "--names", "plain")
    known = (*blind, "-o", tmp_path / "out", *options, *TINY_OPTIONS)
    code, text, err = run("separate", mixture, *known)
    assert (code, err) == (0, "")
    assert f"  mix/{name}" in text.splitlines()
    stem, whole = audionmf.AudioFile(tmp_path / "out" / "mix" / name), audionmf.read(mixture)
    assert (stem.subtype, stem.n_samples) == (subtype, whole.n_samples)
    code, text, err = run("rerun", tmp_path / "out" / "mix" / "manifest.json")
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--format", "opus"), "opus files hold 8000, 12000, 16000, 24000, 48000 Hz"),
        (("--format", "flac", "--subtype", "FLOAT"), "flac files cannot hold 'FLOAT' samples"),
        (("--format", "mp3", "--subtype", "PCM_16"), "leave out 'PCM_16'"),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is_computed(
    run, tmp_path, options, text, monkeypatch
):
    monkeypatch.setattr("audionmf.batch.job.analyse_account", None)
    mixture = sound(tmp_path / "mix.wav", two_notes(), rate=11025)
    code, _, err = run("separate", mixture, *options, "-o", tmp_path / "out")
    assert code == 2
    assert text in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out" / "mix").exists()


def test_a_remix_as_mp3(run, mixture, tmp_path):
    out = tmp_path / "remix.mp3"
    blind = ("--n-sources", 2, "--names", "plain")
    known = (*blind, "--gain", "source1=-3", "-o", out, *TINY_OPTIONS)
    assert run("remix", mixture, *known) == (0, f"{out}\n", "")
    assert audionmf.AudioFile(out).n_samples == audionmf.AudioFile(mixture).n_samples
