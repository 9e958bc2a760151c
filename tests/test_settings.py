import argparse
import dataclasses
import subprocess
import sys

import pytest

from audionmf import ParameterError, Settings
from audionmf.cli.common import add_settings

OUT_OF_RANGE = [
    ("n_fft", 1),
    ("n_fft", (1 << 20) + 1),
    ("n_fft", 1024.0),
    ("n_fft", True),
    ("hop_length", 0),
    ("hop_length", "512"),
    ("window", ""),
    ("window", None),
    ("n_components", 0),
    ("n_components", 4097),
    ("beta", -2.1),
    ("beta", 4.1),
    ("beta", float("nan")),
    ("beta", "kl"),
    ("max_iter", 0),
    ("max_iter", 1.5),
    ("tol", -1e-9),
    ("tol", 1.1),
    ("tol", float("nan")),
    ("activation_iter", 0),
    ("mask_exponent", 0.0),
    ("mask_exponent", float("inf")),
    ("max_frames", 15),
    ("seed", -1),
    ("seed", None),
    ("n_threads", 0),
    ("n_threads", 257),
    ("device", "gpu"),
    ("device", "cuda:-1"),
    ("device", None),
]

AT_THE_LIMIT = [
    ("n_fft", 2),
    ("n_fft", 1 << 20),
    ("n_components", 4096),
    ("beta", -2),
    ("beta", 4),
    ("tol", 0),
    ("tol", 1),
    ("mask_exponent", 0.1),
    ("max_frames", 16),
    ("seed", 0),
    ("n_threads", None),
    ("n_threads", 256),
    ("device", "cuda:1"),
    ("device", "torch"),
]


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_refused_with_name_rule_and_value(name, value):
    with pytest.raises(ParameterError) as caught:
        Settings(**{name: value})
    message = str(caught.value)
    assert message.startswith(f"{name} must be ")
    assert repr(value) in message


@pytest.mark.parametrize(("name", "value"), AT_THE_LIMIT)
def test_a_value_at_the_limit_is_taken(name, value):
    assert getattr(Settings(**{name: value}), name) == value


def test_defaults_are_valid_and_every_option_says_what_it_is():
    assert Settings() == Settings.from_options()
    for option in dataclasses.fields(Settings):
        assert option.metadata["help"]
        assert option.metadata["rule"] or option.name == "window"


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().beta = 2.0


def test_replacing_a_field_checks_it():
    assert dataclasses.replace(Settings(), beta=2.0).beta == 2.0
    with pytest.raises(ParameterError, match="beta must be"):
        dataclasses.replace(Settings(), beta=9.0)


def test_from_options_changes_only_what_is_named():
    base = Settings(n_components=7, beta=2.0)
    changed = Settings.from_options(base, beta=0.5)
    assert changed == Settings(n_components=7, beta=0.5)
    assert base == Settings(n_components=7, beta=2.0)


def test_an_option_that_does_not_exist_is_refused_and_the_options_are_listed():
    with pytest.raises(ParameterError, match=r"'n_component'.*n_components"):
        Settings.from_options(n_component=3)


def test_the_arguments_of_a_command_give_the_same_settings():
    settings = Settings(n_components=7, beta=0.5, cues="timbre", spatial=False, n_threads=3)
    arguments = settings.to_arguments("separate")
    assert "--n-threads" not in arguments
    parser = argparse.ArgumentParser()
    add_settings(parser, "separate")
    given = vars(parser.parse_args(arguments))
    assert Settings.from_options(**given) == dataclasses.replace(settings, n_threads=None)
    assert "--no-spatial" not in settings.to_arguments("decompose")
    assert Settings().to_arguments("separate") == []


@pytest.mark.parametrize(
    ("sample_rate", "n_fft", "hop_length"),
    [
        (44_100, 4096, 1024),
        (48_000, 4096, 1024),
        (22_050, 2048, 512),
        (16_000, 2048, 512),
        (8_000, 1024, 256),
        (96_000, 8192, 2048),
        (192_000, 16_384, 4096),
        (1_000, 128, 32),
    ],
)
def test_the_default_window_lasts_about_93_ms_at_any_rate(sample_rate, n_fft, hop_length):
    settings = Settings()
    assert settings.n_fft_at(sample_rate) == n_fft
    assert settings.hop_length_at(sample_rate) == hop_length
    assert 0.065 < n_fft / sample_rate < 0.132


def test_window_and_hop_that_were_asked_for_hold_at_any_rate():
    settings = Settings(n_fft=1000, hop_length=100)
    assert settings.n_fft_at(96_000) == 1000
    assert settings.hop_length_at(8_000) == 100


def test_the_hop_follows_a_window_that_was_asked_for():
    assert Settings(n_fft=1000).hop_length_at(44_100) == 250
    assert Settings(n_fft=2).hop_length_at(44_100) == 1


def test_importing_the_settings_loads_no_numerical_package():
    code = (
        "import sys, audionmf.settings\n"
        "print([m for m in ('numpy', 'scipy', 'numba', 'librosa', 'matplotlib') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_settings_show_what_is_not_as_by_default():
    assert repr(Settings()) == "Settings()"
    assert repr(Settings(n_fft=512, spatial=False)) == "Settings(n_fft=512, spatial=False)"
