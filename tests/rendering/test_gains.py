"""Gains: how they are written, which source they are of, and what a mixture becomes with them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audionmf import ParameterError
from audionmf.rendering.remixing import gain_from_db, mix, parse_gains, resolve_gains


@pytest.mark.parametrize(
    ("decibels", "gain"), [(0, 1), (-math.inf, 0), (20, 10), (-20, 0.1), (6.0206, 2)]
)
def test_decibels_become_factors(decibels, gain):
    assert gain_from_db(decibels) == pytest.approx(gain, rel=1e-5)


def test_gains_are_written_in_decibels():
    found = parse_gains(["voice=-inf", "drums=+20", "keys=0", "bass=-20 dB"])
    assert found == {"voice": 0, "drums": 10, "keys": 1, "bass": pytest.approx(0.1)}


@pytest.mark.parametrize("text", ["voice", "voice=", "=3", "voice=loud", "voice=nan", "voice=inf"])
def test_a_gain_of_another_form_is_refused(text):
    with pytest.raises(ParameterError, match="NAME=DB"):
        parse_gains([text])


def test_a_gain_that_comes_twice_is_refused():
    with pytest.raises(ParameterError, match="'a' is given twice"):
        parse_gains(["a=0", "a=1"])


def test_sources_without_a_gain_keep_theirs():
    assert resolve_gains(["a", "b", "c"], {"b": 0.5}) == [1, 0.5, 1]


def test_rest_is_a_source_or_all_that_are_not_named():
    assert resolve_gains(["a", "b", "c"], {"b": 0.5, "rest": 0}) == [0, 0.5, 0]
    assert resolve_gains(["a", "b", "rest"], {"rest": 0}) == [1, 1, 0]


@pytest.mark.parametrize("gain", [-0.1, 1001, math.nan, math.inf, "1", None])
def test_a_gain_outside_its_range_is_refused(gain):
    with pytest.raises(ParameterError, match="gain of 'a' is a factor from 0 to 1000"):
        resolve_gains(["a"], {"a": gain})


def test_a_gain_of_no_source_names_those_there_are():
    with pytest.raises(ParameterError, match="no source 'c'; there are 'a', 'b'"):
        resolve_gains(["a", "b"], {"c": 1})


@given(st.lists(st.floats(0, 10, width=32), min_size=3, max_size=3))
def test_a_mixture_with_gains_is_the_sum_of_its_stems_with_them(gains):
    stems = np.random.default_rng(0).standard_normal((3, 2, 50)).astype(np.float32)
    mixed = mix(stems.sum(axis=0), list(stems[:-1]), gains)
    wanted = np.einsum("j,jcn->cn", gains, stems.astype(float))
    assert np.abs(mixed - wanted).max() < 1e-5 * (1 + max(gains))


@given(st.floats(0, 4, width=32))
def test_gains_that_are_all_the_same_scale_the_mixture_exactly(gain):
    mixture = np.random.default_rng(1).standard_normal((1, 50)).astype(np.float32)
    stems = [np.random.default_rng(2).standard_normal((1, 50)).astype(np.float32)]
    assert np.array_equal(mix(mixture, stems, [gain, gain]), mixture * np.float32(gain))
