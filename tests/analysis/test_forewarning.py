"""Many sources that take minutes are told of, from the first seconds of the work."""

import itertools

import numpy as np
import pytest
from conftest import RATE, TINY, two_notes

import audionmf
from audionmf.analysis import analysing, forewarning


@pytest.fixture
def clock(monkeypatch):
    """Return the clock of the work: a list whose one number is the seconds."""
    now = [0.0]
    monkeypatch.setattr(forewarning.time, "monotonic", lambda: now[0])
    return now


def work(tell, clock, seconds, steps=20):
    """Do a stage that takes so many seconds."""
    for step in range(steps + 1):
        tell("place in stereo", step / steps)
        clock[0] += seconds / steps


def test_a_stage_that_takes_minutes_with_many_sources_is_told_of_once(clock, caplog):
    heard = []
    tell = forewarning.forewarning(lambda *told: heard.append(told), 40)
    work(tell, clock, 185)
    work(tell, clock, 185)
    assert [record.getMessage() for record in caplog.records] == [
        "40 sources: 'place in stereo' alone takes about 3 minutes on this machine; "
        "fewer sources take less"
    ]
    assert len(heard) == 42


@pytest.mark.parametrize(("n_sources", "seconds"), [(40, 50), (8, 600), (None, 600)])
def test_nothing_is_said_of_what_is_short_or_has_few_sources(clock, caplog, n_sources, seconds):
    work(forewarning.forewarning(lambda *_: None, n_sources), clock, seconds)
    assert caplog.records == []


def test_every_analysis_is_watched(monkeypatch):
    asked = []
    monkeypatch.setattr(analysing, "forewarning", lambda progress, n: asked.append(n) or progress)
    for known in ({"n_sources": 2}, {"examples": {"a": two_notes(), "b": two_notes()[:, ::-1]}}):
        audionmf.analyse(two_notes(2), sample_rate=RATE, settings=TINY, **known)
    assert asked == [2, 2]


@pytest.mark.parametrize("way", [{"n_sources": 2}, {"examples": {"a": two_notes()}}])
def test_the_place_in_stereo_is_told_of_step_by_step(way):
    told = []
    stereo = np.tile(two_notes(2), 4)
    audionmf.analyse(
        stereo, sample_rate=RATE, settings=TINY, progress=lambda *at: told.append(at), **way
    )
    shares = [done for stage, done in told if stage == "place in stereo"]
    assert len(shares) > 4
    assert shares[0] == 0
    assert shares[-1] == 1
    assert all(a <= b for a, b in itertools.pairwise(shares))
