"""How far a separation is: shares that rise, time left that does not."""

import itertools

import pytest

from audionmf.batch.pace import TimeLeft, share_done, work_after

BLIND = ("read", "factorise", "group", "place in stereo", "render")
EXAMPLE = ("read violin", "read", "adapt", "vote", "compare", "place in stereo", "render")


@pytest.mark.parametrize("stages", [BLIND, EXAMPLE])
@pytest.mark.parametrize("seconds", [1, 60, 3600])
def test_the_share_rises_through_the_stages_to_the_end(stages, seconds):
    shares = [share_done(stage, done, seconds) for stage in stages[:-1] for done in (0, 1)][::2]
    assert shares == sorted(shares)
    assert share_done("render", 0, seconds) >= shares[-1]
    assert share_done("render", 1, seconds) == 1


def test_rendering_is_most_of_a_long_recording_and_little_of_a_short_one():
    assert share_done("render", 0, 10) > 0.9
    assert share_done("render", 0, 3600) < 0.1


@pytest.mark.parametrize("stage", ["morph", "mosaic"])
def test_what_has_one_stage_is_as_far_as_that(stage):
    assert share_done(stage, 0.97) == 0.97


def test_notes_and_pages_count_and_come_after_rendering():
    after = work_after(12, notes=False, page=True)
    assert list(after) == ["notes", "page"]
    shares = [share_done(stage, done, 12, after) for stage in ("render", *after) for done in (0, 1)]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert shares[1] == pytest.approx(
        1.05 / 2.55
    )  # analysis 1, rendering 0.05, notes 0.8, page 0.7


def test_a_page_of_a_long_recording_hears_no_notes_unless_they_are_written():
    assert list(work_after(600, notes=False, page=True)) == ["page"]
    assert list(work_after(600, notes=True, page=True)) == ["notes", "page"]
    assert work_after(600, notes=False, page=False) == {}


MEASURED = {  # when stages begin, as shares of a separation of 60 s in stereo
    "blind": {"factorise": 0.13, "group": 0.48, "place in stereo": 0.52, "render": 0.94},
    "examples": {
        "adapt": 0.12,
        "vote": 0.31,
        "compare": 0.38,
        "place in stereo": 0.65,
        "render": 0.74,
    },
    "drums": {"place in stereo": 0.30, "render": 0.96},
    "lead": {"factorise": 0.14, "place in stereo": 0.25, "render": 0.93},
}


@pytest.mark.parametrize("way", MEASURED)
def test_the_share_told_is_near_that_of_the_time_that_stages_were_measured_to_take(way):
    told = 0.0  # which never falls where it is shown
    for stage, true in MEASURED[way].items():
        told = max(told, share_done(stage, 0.0, 60))
        assert told == pytest.approx(true, abs=0.2)
        told = max(told, share_done(stage, 1.0, 60))


def test_the_time_left_never_rises_and_waits_for_a_tenth_of_the_work():
    left = TimeLeft()
    assert left.after(1, 0.05, 0.95) is None
    said = [left.after(second, share, 1 - share) for second, share in ((1, 0.2), (9, 0.3), (10, 1))]
    assert said[0] == pytest.approx(4)
    assert all(a >= b for a, b in itertools.pairwise(said))
    assert said[-1] == 0
