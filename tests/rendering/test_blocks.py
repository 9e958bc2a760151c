"""A span that is rendered alone is what the whole recording gives there."""

import dataclasses

import numpy as np
import pytest
from conftest import RATE, TINY, two_notes

from audionmf.analysis.analysing import analyse
from audionmf.errors import ParameterError
from audionmf.io.audio import Audio
from audionmf.rendering import blocks
from audionmf.rendering.blocks import render_blocks, render_span
from audionmf.rendering.trust import TrustMeter, block_trust
from audionmf.spectra.frames import silent

N_SAMPLES = 4097
SPANS = [(0, 1), (0, 700), (1000, 1001), (63, 2500), (4000, 4097), (4096, 4097), (0, 4097)]


@pytest.fixture(scope="module", params=[(256, None), (256, 100), (512, 384)])
def whole(request):
    n_fft, hop_length = request.param
    audio = Audio(two_notes(2, N_SAMPLES), RATE)
    found = analyse(
        audio, components=True, n_components=3, settings=TINY, n_fft=n_fft, hop_length=hop_length,
        window="hann" if hop_length != 384 else "hamming",
    )  # fmt: skip
    stems = np.concatenate(list(render_blocks(audio, found, lambda *_: None)), axis=-1)
    return audio, found, stems


@pytest.mark.parametrize(("start", "stop"), SPANS)
def test_a_span_is_that_part_of_the_stems(whole, start, stop):
    audio, found, stems = whole
    span = render_span(audio, found, start, stop)
    assert span.shape == (3, 2, stop - start)
    assert np.abs(span - stems[..., start:stop]).max() < 1e-6
    assert np.abs(span.sum(axis=0) - audio.samples[:, start:stop]).max() < 1e-6


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 5), (0, N_SAMPLES + 1)])
def test_a_span_outside_the_recording_is_refused(whole, start, stop):
    with pytest.raises(ParameterError, match="inside"):
        render_span(*whole[:2], start, stop)


@pytest.mark.parametrize("only", [[0], [2], [1, 0]])
def test_a_few_stems_of_a_span_are_those_of_all(whole, only):
    audio, found, stems = whole
    span = render_span(audio, found, 1000, 2500, only)
    assert np.abs(span - stems[only, :, 1000:2500]).max() < 1e-6


@pytest.mark.parametrize("only", [[3], [0, -1]])
def test_a_stem_that_is_not_there_is_refused(whole, only):
    with pytest.raises(ParameterError, match="from 0 to 2"):
        render_span(*whole[:2], 0, 1000, only)


def test_trust_is_summed_only_where_it_is_asked_for(whole, monkeypatch):
    source, found, stems = whole
    asked = []
    monkeypatch.setattr(blocks, "block_trust", lambda *told: asked.append(1) or block_trust(*told))
    plain = np.concatenate(list(render_blocks(source, found, silent)), axis=-1)
    assert not asked
    meter = TrustMeter(found.source_names, 10)
    told = np.concatenate(list(render_blocks(source, found, silent, trust=meter)), axis=-1)
    assert asked
    assert meter.result().energy_share.keys() == found.grouping.keys()
    np.testing.assert_array_equal(told, plain)
    np.testing.assert_array_equal(plain, stems)


def test_magnitudes_are_found_only_where_something_heeds_them(whole, monkeypatch):
    source, found, stems = whole
    monkeypatch.setattr(blocks, "pooled_magnitude", lambda _: pytest.fail("nobody heeds it"))
    assert not found.heeds
    np.testing.assert_array_equal(
        np.concatenate([*render_blocks(source, found, silent)], -1), stems
    )
    anew = dataclasses.replace(found, activations=None)
    assert anew.heeds
    assert dataclasses.replace(found, residual="rest").heeds
    with pytest.raises(pytest.fail.Exception, match="heeds it"):
        next(render_blocks(source, anew, silent))
