"""What a regroup leaves: one run's stems in a folder, and a manifest that tells of them."""

import json

import pytest
from conftest import TINY_OPTIONS, files_below, sound, tone

from audionmf.batch.regrouped import Regrouping
from audionmf.errors import TemplateError
from audionmf.show import pictures


@pytest.fixture
def model(run, mixture, tmp_path):
    parts = tmp_path / "parts"
    assert run("decompose", mixture, "-o", parts, "--n-components", 3, *TINY_OPTIONS)[0] == 0
    return parts / "mix" / "model.npz"


@pytest.fixture
def regroup(run, model, tmp_path):
    def call(*groups, out="out", options=()):
        told = [text for group in groups for text in ("--group", group)]
        return run("regroup", model, *told, "-o", tmp_path / out, *options)

    return call


def test_the_stems_and_the_page_of_an_earlier_regroup_are_replaced(regroup, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "pictures_or_note", lambda *_: "not drawn: it is not looked at")
    assert regroup("a=0", "b=1", options=("--report", "--export", "csv"))[0] == 0
    before = files_below(tmp_path / "out")
    assert {"mix/a.wav", "mix/b.wav", "mix/rest.wav", "mix/report.html"} < set(before)
    assert regroup("c=0,1")[0] == 0
    assert files_below(tmp_path / "out") == ["mix/c.wav", "mix/manifest.json", "mix/rest.wav"]


def test_a_stem_that_was_changed_since_stays_and_is_named(regroup, tmp_path):
    assert regroup("a=0")[0] == 0
    edited = sound(tmp_path / "out" / "mix" / "a.wav", tone(440))
    code, _, err = regroup("b=0")
    assert code == 0
    assert repr(str(edited)) in err
    assert edited.exists()


def test_a_separation_replaces_regrouped_stems(regroup, run, mixture, tmp_path):
    assert regroup("a=0")[0] == 0
    arguments = ("-o", tmp_path / "out", "-n", 2, "--names", "plain", *TINY_OPTIONS)
    assert run("separate", mixture, *arguments)[0] == 0
    assert files_below(tmp_path / "out") == [
        "mix/manifest.json", "mix/source1.wav", "mix/source2.wav",
    ]  # fmt: skip


@pytest.mark.parametrize("pattern", ["{track}/{source}.{ext}", "{track}-{source}.{ext}"])
def test_regrouped_stems_are_no_recordings_to_take_apart(regroup, run, mixture, tmp_path, pattern):
    assert regroup("a=0", out="in/out", options=("--filename", pattern))[0] == 0
    code, text, _ = run(
        "separate", mixture.parent, "-n", 2, "-o", tmp_path / "b", "--dry-run", "--json"
    )
    assert (code, [json.loads(line)["input"] for line in text.splitlines()]) == (0, [str(mixture)])


def test_another_programs_manifest_is_not_replaced(regroup, tmp_path):
    other = tmp_path / "out" / "mix" / "manifest.json"
    other.parent.mkdir(parents=True)
    other.write_text('{"format": "of a web page"}')
    code, _, err = regroup("a=0")
    assert code == 4
    assert "no manifest of audionmf" in err
    assert files_below(tmp_path / "out") == ["mix/manifest.json"]


def test_a_stem_that_would_be_replaced_cannot_be_the_mixture(run, regroup, mixture, tmp_path):
    assert regroup("a=0", out="one")[0] == 0
    stem = tmp_path / "one" / "mix" / "rest.wav"
    again = tmp_path / "one" / "mix" / "mix.wav"
    values = json.loads((tmp_path / "one" / "mix" / "manifest.json").read_text())
    values["stems"]["rest"]["file"] = "mix/mix.wav"
    (tmp_path / "one" / "mix" / "manifest.json").write_text(json.dumps(values))
    stem.unlink()
    again.write_bytes(mixture.read_bytes())
    code, _, err = regroup("a=0", out="one", options=("--mixture", again))
    assert code == 4
    assert "is a stem of an earlier run, which this one replaces" in err
    assert again.exists()


def test_info_tells_of_it_and_rerun_says_what_makes_it_again(regroup, run, model, tmp_path):
    assert regroup("a=0,2")[0] == 0
    folder = tmp_path / "out" / "mix"
    (folder / "rest.wav").unlink()
    code, text, _ = run("info", folder)
    assert code == 0
    for words in (
        "regrouping components",
        repr(str(model)),
        "a: 0, 2",
        "gone",
        "model.npz --group a=0,2",
    ):
        assert words in text
    code, _, err = run("rerun", folder)
    assert code == 5
    assert "'audionmf regroup' made" in err


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", 1),
        ("groups", {"a": [1 << 40]}),
        ("groups", {"a": [True]}),
        ("groups", {"a": "0"}),
        ("groups", []),
        ("track", None),
        ("stems", {"a": {"file": "a.wav", "sha256": "0", "n_bytes": 1 << 70}}),
        ("gain", float("nan")),
        ("versions", {"audionmf": "\x1b[2J"}),
        ("inputs", {"a": "b" * 1000}),
        ("trust", 1),
        ("version", 2),
    ],
)
def test_every_field_is_checked(tmp_path, field, value):
    made = Regrouping(
        "/m.npz", "/mix.wav", {"a": (0,)}, "mix", "{track}/{source}.{ext}", {"/m.npz": "0"},
        {"audionmf": "1"}, {}, {}, 1.0, {},
    )  # fmt: skip
    path = made.save(tmp_path / "manifest.json")
    assert Regrouping.load(path) == made
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(TemplateError, match=r"manifest\.json"):
        Regrouping.load(path)


def test_a_manifest_cannot_have_files_elsewhere_removed(regroup, tmp_path):
    from audionmf.batch.journal import OutputHash

    other = sound(tmp_path / "precious.wav", tone(330))
    assert regroup("a=0")[0] == 0
    path = tmp_path / "out" / "mix" / "manifest.json"
    values, made = json.loads(path.read_text()), OutputHash.of(other)
    values["stems"]["b"] = {
        "file": "mix/../../precious.wav", "sha256": made.sha256, "n_bytes": made.n_bytes,
    }  # fmt: skip
    path.write_text(json.dumps(values))
    assert regroup("c=0")[0] == 0
    assert other.exists()
