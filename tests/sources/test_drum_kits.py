"""Drum kits: folders of samples, the kit that is shipped, and what is heard of a kit."""

import json

import numpy as np
import pytest
import soundfile
from conftest import sound

import audionmf
from audionmf import ParameterError
from audionmf.analysis.learning import learn_kit
from audionmf.batch.job import SeparationJob
from audionmf.evaluate.measures import si_sdr
from audionmf.sources.kits import SHIPPED_KIT, kit_files
from audionmf.sources.known import Told

RATE = 8000
OPTIONS = {"sample_rate": RATE, "n_fft": 256, "n_threads": 1}


def stroke(hertz, fall, noise=0.0, seed=0):
    time = np.arange(RATE // 4) / RATE
    tone = (1 - noise) * np.sin(2 * np.pi * hertz * time)
    return (tone + noise * np.random.default_rng(seed).standard_normal(len(time))) * np.exp(
        -fall * time
    )


SAMPLES = {
    "low/soft.wav": 0.3 * stroke(80, 20),
    "low/loud.wav": 0.8 * stroke(90, 16),
    "high.wav": 0.2 * np.diff(stroke(2000, 60, 1.0), prepend=0),
    "bell.wav": 0.4 * stroke(900, 6),
}


def played(sample, times, seconds=3):
    samples = np.zeros((seconds + 1) * RATE)
    for time in times:
        first = round(time * RATE)
        samples[first : first + len(sample)] += sample
    return samples[: seconds * RATE].astype(np.float32)


STEMS = {
    "low": played(0.7 * stroke(86, 18), np.arange(0.05, 2.8, 0.5)),
    "high": played(SAMPLES["high.wav"], np.arange(0.05, 2.9, 0.25)),
}
MIXTURE = STEMS["low"] + STEMS["high"]


@pytest.fixture
def kit(tmp_path):
    folder = tmp_path / "kit"
    (folder / "low").mkdir(parents=True)
    for name, samples in SAMPLES.items():
        sound(folder / name, samples)
    return folder


def test_a_subfolder_or_a_file_is_a_source(kit):
    files = kit_files(kit)
    assert list(files) == ["bell", "high", "low"]
    assert [path.rsplit("/", 1)[-1] for path in files["low"]] == ["loud.wav", "soft.wav"]


def test_what_is_no_kit_is_refused(kit, tmp_path):
    with pytest.raises(
        ParameterError, match=r"folder of samples or a bank .*high\.wav.*before --kit"
    ):
        kit_files(kit / "high.wav")
    with pytest.raises(FileNotFoundError, match="there is no kit"):
        kit_files(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(audionmf.AudioReadError, match="without audio files"):
        kit_files(tmp_path / "empty")


def test_the_shipped_kit_is_small_and_says_whose_it_is():
    files = [path for path in SHIPPED_KIT.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 500_000
    assert "MIT licence" in (SHIPPED_KIT / "LICENSE").read_text("utf-8")
    found = kit_files(True)
    assert list(found) == ["kick", "snare", "hats", "toms", "cymbals"]
    for path in (path for paths in found.values() for path in paths):
        samples, rate = soundfile.read(path)
        assert rate == 44100
        assert np.abs(samples).max() > 0.5


def test_of_a_kit_the_sources_that_are_heard_become_stems(kit):
    stems = audionmf.separate(MIXTURE, kit=kit, **OPTIONS)
    assert set(stems.sources) == {"low", "high"}
    for name, stem in STEMS.items():
        assert si_sdr(stem[None], stems.sources[name]) > 8
    assert "of the kit, high, low are heard, not bell" in stems.decomposition.remarks
    np.testing.assert_allclose(sum(stems.sources.values())[0], MIXTURE, atol=1e-6)


def test_what_is_there_is_not_left_out(kit):
    bell = played(0.5 * stroke(900, 6), np.arange(0.3, 2.8, 0.75))
    found = audionmf.analyse(MIXTURE + bell, kit=kit, **OPTIONS)
    assert set(found.grouping) == {"low", "high", "bell"}


def test_a_bank_of_a_kit_is_heard_as_its_folder_is(kit, tmp_path):
    bank = learn_kit(kit, settings=audionmf.Settings(n_fft=256))
    assert bank.names == ("bell", "high", "low")
    assert sorted(bank.patterns.labels) == ["bell", "high", "low", "low"]
    path = bank.save(tmp_path / "kit.npz")
    by_bank = audionmf.analyse(MIXTURE, kit=path, **OPTIONS)
    by_folder = audionmf.analyse(MIXTURE, kit=kit, **OPTIONS)
    assert list(by_bank.grouping) == list(by_folder.grouping)
    np.testing.assert_allclose(by_bank.patterns, by_folder.patterns, rtol=1e-3, atol=1e-7)
    known = audionmf.analyse(MIXTURE, templates=path, model="patterns", **OPTIONS)
    assert set(known.grouping) == {"bell", "high", "low"}
    assert known.patterns.shape[2] == 3  # one a source


def test_what_is_played_on_a_kit_is_a_pattern_only_where_it_is_the_same_each_time(tmp_path):
    noise = np.random.default_rng(4).normal(size=2 * RATE)
    ringing = 0.3 * noise * np.exp(-np.arange(2 * RATE) / (0.9 * RATE))
    played_on = np.concatenate([ringing[: RATE // 4] for _ in range(8)])
    for name, samples in {"crash": ringing, "ride": played_on}.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE)
    bank = learn_kit(tmp_path, settings=audionmf.Settings(n_fft=256))
    assert bank.names == ("crash", "ride")
    assert bank.patterns.labels == ("crash",)
    assert set(bank.sounds) == {"crash", "ride"}


def test_silence_has_all_stems_and_a_long_recording_is_refused(kit):
    with pytest.warns(audionmf.AudioWarning, match="silent"):
        silent = audionmf.analyse(np.zeros(RATE), kit=kit, **OPTIONS)
    assert set(silent.grouping) == {"low", "high", "bell"}
    with pytest.raises(ParameterError, match="a kit is for recordings of up to 20 frames"):
        audionmf.analyse(MIXTURE, kit=kit, max_frames=20, **OPTIONS)


def test_a_kit_beside_other_sources_is_a_set_of_examples(kit):
    tone = 0.2 * np.sin(2 * np.pi * 440 * np.arange(len(MIXTURE)) / RATE).astype(np.float32)
    found = audionmf.analyse(
        MIXTURE + tone, kit=kit, examples={"tone": tone}, adapt_iter=2, **OPTIONS
    )
    assert set(found.grouping) == {"low", "high", "bell", "tone"}


def test_a_job_keeps_the_files_of_a_kit_and_finds_them_again(kit, tmp_path):
    mixture = sound(tmp_path / "mix.wav", MIXTURE)
    job = SeparationJob(input=mixture, kit=kit).absolute()
    assert {str(kit / name) for name in SAMPLES} <= set(job.inputs())
    assert SeparationJob.from_dict(json.loads(json.dumps(job.to_dict()))).kit.keys() == {
        "low", "high", "bell",
    }  # fmt: skip
    assert job.counts_sources
    assert list(job.planned()) == ["bell", "high", "low"]
    moved = job.moved(lambda path: path.replace("kit", "drums"))
    assert all("drums" in path for paths in moved.kit.values() for path in paths)
    assert SeparationJob(input=mixture, kit=True).inputs() == [str(mixture)]
    for strange in (3, str(kit), [1]):
        with pytest.raises(ParameterError, match="wrong value for 'kit'"):
            SeparationJob.from_dict({"input": str(mixture), "kit": strange})


def test_without_a_kit_nothing_is_known():
    assert not Told().account().sources
    assert Told(kit=True).account().kit == ("kick", "snare", "hats", "toms", "cymbals")


def test_learn_and_separate_at_the_shell(kit, tmp_path, run):
    bank, out = tmp_path / "kit.npz", tmp_path / "out"
    code, text, _ = run("learn", kit, "-o", bank, "--n-fft", 256)
    assert code == 0
    assert "2 patterns of 'low'" in text
    mixture = sound(tmp_path / "mix.wav", MIXTURE)
    assert run("separate", mixture, "--kit", bank, "-o", out)[0] == 0
    assert sorted(path.name for path in (out / "mix").glob("*.wav")) == ["high.wav", "low.wav"]


def test_files_called_like_several_drums_are_a_kit_and_others_are_one_source(tmp_path, run):
    folder = tmp_path / "samples"
    folder.mkdir()
    sound(folder / "kick.wav", SAMPLES["low/loud.wav"])
    sound(folder / "kick 2.wav", SAMPLES["low/soft.wav"])
    alone = run("learn", folder, "-o", tmp_path / "a.npz", "--n-fft", 256)
    assert "of 'samples'" in alone[1]
    forced = run("learn", folder, "--kit", "-o", tmp_path / "b.npz", "--n-fft", 256)
    assert "of 'kick 2'" in forced[1]
    sound(folder / "hat.wav", SAMPLES["high.wav"])
    kit = run("learn", folder, "-o", tmp_path / "c.npz", "--n-fft", 256)
    assert "of 'hat'" in kit[1]
    assert "--name NAME makes one of all" in kit[1]
    named = run("learn", folder, "--name", "all", "-o", tmp_path / "d.npz", "--n-fft", 256)
    assert "of 'all'" in named[1]
    assert run("learn", folder, "--kit", "--name", "all", "-o", tmp_path / "e.npz")[0] == 2
