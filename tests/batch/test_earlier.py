"""A folder never holds stems of two runs, and stems are no recordings to take apart again."""

import json

import pytest
from conftest import TINY_OPTIONS, files_below, sound, tone, two_notes

import audionmf
from audionmf.batch.described import manifest_text
from audionmf.show import pictures


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def separate(run, mixture, out):
    def call(*arguments):
        return run("separate", mixture, "-o", out, "--names", "plain", *TINY_OPTIONS, *arguments)

    assert call("-n", 3)[0] == 0
    return call


def test_the_stems_and_the_page_of_an_earlier_run_are_replaced(separate, out, monkeypatch):
    monkeypatch.setattr(pictures, "pictures_or_note", lambda *_: "not drawn: it is not looked at")
    assert separate("-n", 3, "--report")[0] == 0
    assert {"mix/source3.wav", "mix/report.html"} <= set(files_below(out))
    assert separate("-n", 2)[0] == 0
    assert files_below(out) == ["mix/manifest.json", "mix/source1.wav", "mix/source2.wav"]


def test_another_format_leaves_nothing_of_the_first(separate, out):
    assert separate("-n", 2, "--format", "flac")[0] == 0
    assert files_below(out) == ["mix/manifest.json", "mix/source1.flac", "mix/source2.flac"]


def test_a_stem_that_was_changed_since_stays_and_is_named(separate, out):
    edited = sound(out / "mix" / "source3.wav", tone(440))
    code, _, err = separate("-n", 2)
    assert code == 0
    assert repr(str(edited)) in err
    assert "changed since" in err
    assert edited.exists()


def test_what_no_run_of_ours_made_stays(separate, out):
    (out / "mix" / "notes.doc").write_text("mine")
    (out / "mix" / "report.html").write_text("mine")
    assert separate("-n", 2)[0] == 0
    assert {"mix/notes.doc", "mix/report.html"} <= set(files_below(out))


def test_a_run_that_fails_leaves_the_earlier_stems(separate, out):
    before = files_below(out)
    assert separate("-n", 5, "--n-components", 4)[0] == 2
    assert files_below(out) == before


def test_a_stem_that_would_be_replaced_cannot_be_an_input(separate, out):
    stem, before = out / "mix" / "source3.wav", files_below(out)
    code, _, err = separate("--example", f"a={stem}")
    assert code == 4
    assert "is a stem of an earlier run, which this one replaces" in err
    assert files_below(out) == before


def test_a_manifest_cannot_have_files_elsewhere_removed(separate, out, tmp_path):
    other = sound(tmp_path / "precious.wav", tone(330))
    path = out / "mix" / "manifest.json"
    values = json.loads(path.read_text())
    from audionmf.batch.journal import OutputHash

    made = OutputHash.of(other)
    values["stems"]["source3"] = {
        "file": "mix/../../precious.wav", "sha256": made.sha256, "n_bytes": made.n_bytes,
    }  # fmt: skip
    path.write_text(json.dumps(values))
    assert separate("-n", 2)[0] == 0
    assert other.exists()


def test_regrouping_replaces_the_stems_of_a_separation(separate, run, mixture, out, tmp_path):
    parts = tmp_path / "parts"
    assert run("decompose", mixture, "-o", parts, "--n-components", 3, *TINY_OPTIONS)[0] == 0
    assert run("regroup", parts / "mix" / "model.npz", "--group", "a=0,1", "-o", out)[0] == 0
    assert set(files_below(out)) == {"mix/a.wav", "mix/manifest.json", "mix/rest.wav"}


def test_fewer_components_leave_none_of_the_more(run, mixture, out):
    for count in (4, 2):
        arguments = ("-o", out, "--n-components", count, *TINY_OPTIONS)
        assert run("decompose", mixture, *arguments)[0] == 0
    assert [name for name in files_below(out) if "component" in name] == [
        "mix/component00.wav", "mix/component01.wav",
    ]  # fmt: skip


def test_outputs_under_the_input_folder_are_no_inputs(run, tmp_path):
    album = tmp_path / "album"
    mixture = sound(album / "mix.wav", two_notes())
    assert run("separate", mixture, "-n", 2, "-o", album / "separated", *TINY_OPTIONS)[0] == 0
    arguments = ("-o", album / "decomposed", "--n-components", 2, *TINY_OPTIONS)
    assert run("decompose", mixture, *arguments)[0] == 0
    code, text, _ = run("separate", album, "-n", 2, "-o", tmp_path / "new", "--dry-run", "--json")
    assert (code, [json.loads(line)["input"] for line in text.splitlines()]) == (0, [str(mixture)])
    code, text, _ = run("learn", album, "-o", tmp_path / "a.npz", "--json", *TINY_OPTIONS)
    assert code == 0
    from audionmf.io.foreign import audio_in

    assert audio_in(str(album)) == [str(mixture)]


# --- manifests


def test_info_tells_what_stems_were_made_from(separate, run, mixture, out):
    sound(out / "mix" / "source1.wav", tone(440))
    (out / "mix" / "source2.wav").unlink()
    code, text, _ = run("info", out / "mix")
    assert code == 0
    for words in (
        "is a manifest",
        str(mixture),
        "sources   3",
        "n_fft 256",
        f"rerun {out / 'mix' / 'manifest.json'}",
    ):
        assert words in text
    _, text, _ = run("info", out / "mix" / "manifest.json", "--json")
    assert audionmf.describe(out / "mix") == json.loads(text) | {
        "path": str(out / "mix" / "manifest.json")
    }
    states = {name: one["state"] for name, one in json.loads(text)["outputs"].items()}
    assert states == {"source1": "changed", "source2": "gone", "source3": "unchanged"}


def test_what_is_known_is_told_in_plain_words():
    known = {
        "examples": {"cello": ["a.wav", "b.wav"], "harp": ["c.wav"]},
        "solo": {"oboe": [[3, 5.5], [7, 9]]},
        "lead": True,
    }
    text = manifest_text(
        {
            "kind": "manifest", "path": "m/manifest.json", "mixture": "m.wav", "start": 0,
            "duration": None, "known": known, "settings": {"spatial": False}, "outputs": {},
            "gain": 1, "versions": {},
        }
    )  # fmt: skip
    assert "  examples  cello: a.wav, b.wav; harp: c.wav\n" in text
    assert "  solo      oboe: 3–5.5 s, 7–9 s\n" in text
    assert "  lead      yes\n" in text
    assert "  options   spatial no\n" in text


def test_rerun_takes_the_folder(separate, run, out):
    (out / "mix" / "source2.wav").unlink()
    assert run("rerun", out / "mix")[0] == 0
    assert (out / "mix" / "source2.wav").exists()
    code, _, err = run("rerun", out)
    assert code == 3
    assert f"did you mean {str(out / 'mix')!r}?" in err
