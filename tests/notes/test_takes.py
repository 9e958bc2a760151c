"""Takes: where strokes are cut, which is best; and the kit that plays them."""

import re
from itertools import pairwise

import numpy as np
import pytest
from conftest import RATE

from audionmf.io.audio import Audio
from audionmf.notes.events import Heard, velocity_of
from audionmf.notes.sfz import sfz_text
from audionmf.notes.takes import cut_takes

ONSETS = (0.5, 1.0, 1.5)
N_SAMPLES = 2 * RATE


def struck(hertz, onsets=ONSETS, levels=(0.5, 0.5, 0.5), decay=30):
    seconds = np.arange(N_SAMPLES) / RATE
    found = np.zeros(N_SAMPLES)
    for onset, level in zip(onsets, levels, strict=True):
        after = np.maximum(seconds - onset, 0)
        found += level * np.exp(-decay * after) * np.sin(2 * np.pi * hertz * after)
    return Audio(found, RATE)


def heard(onsets=ONSETS, level=-6.0):
    return [Heard(onset + 0.006, onset + 0.1, 36, level) for onset in onsets]


def cut(stems, strokes=None, most=9, longest=3.0):
    return cut_takes("kick", stems, strokes or heard(), most=most, longest=longest)


def test_a_take_begins_just_before_the_sound_and_ends_when_it_has_died_away():
    takes = cut({"kick": struck(200)})
    for take, onset in zip(sorted(takes, key=lambda t: t.onset), ONSETS, strict=True):
        assert onset - 0.004 < take.onset <= onset + 0.001
        assert 0.17 < take.samples.shape[1] / RATE < 0.25  # 50 dB at 30 nepers a second
        assert take.samples[0, 0] == take.samples[0, -1] == 0


def test_a_take_ends_before_the_next_stroke_begins_and_is_no_longer_than_asked():
    takes = cut({"kick": struck(200, decay=2)})
    first, second, _ = sorted(takes, key=lambda take: take.onset)
    assert first.onset + first.samples.shape[1] / RATE < 1
    assert 0.996 < second.onset <= 1.001  # though the one before still rings
    short = cut({"kick": struck(200, decay=2)}, longest=0.1)
    assert max(take.samples.shape[1] for take in short) < 0.13 * RATE


def test_the_best_take_is_the_one_that_others_sound_over_least():
    others = struck(210, (0.5, 1.5), (0.5, 0.1))
    takes = cut({"kick": struck(200), "tom": others})
    assert [round(take.onset, 1) for take in takes] == [1.0, 1.5, 0.5]
    assert takes[0].clean > takes[1].clean > takes[2].clean
    assert [t.onset for t in cut({"kick": struck(200), "tom": others}, most=1)] == [takes[0].onset]


def test_what_sounds_elsewhere_in_frequency_does_not_count():
    takes = cut({"kick": struck(200), "hat": struck(3000, (0.5,), (0.5,))})
    assert min(take.clean for take in takes) > 0.9


def test_levels_are_relative_to_the_loudest():
    strokes = [*heard((0.5,), -20.0), *heard((1.0,), -8.0)]
    takes = cut({"kick": struck(200)}, strokes)
    assert sorted(take.level_db for take in takes) == [-12.0, 0.0]


def test_where_nothing_is_there_is_no_take():
    assert cut({"kick": Audio(np.zeros(N_SAMPLES), RATE)}) == ()
    assert cut_takes("kick", {"kick": struck(200)}, [], most=1, longest=1) == ()


def played(text):
    """Return the regions of each key, as a sampler reads them."""
    keys, key = {}, None
    for block in re.split(r"(?=<)", text):
        codes = dict(re.findall(r"(\w+)=(.*?)(?=\s+\w+=|\s*$)", block, re.MULTILINE))
        if block.startswith("<group>"):
            key = int(codes["key"])
            keys[key] = []
        elif block.startswith("<region>"):
            keys[key].append(codes)
    return keys


def test_every_velocity_of_a_key_plays_one_take():
    kit = {"kick": [("k-01.wav", -1.0), ("k-02.wav", 0.0), ("k-03.wav", -14.0), ("k-04.wav", -7.0)]}
    regions = played(sfz_text(kit, {"kick": 36}, "loop"))[36]
    spans = sorted((int(r["lovel"]), int(r["hivel"])) for r in regions)
    assert spans[0][0] == 1
    assert spans[-1][1] == 127
    assert all(low == high + 1 for (_, high), (low, _) in pairwise(spans))
    assert [r["sample"] for r in regions] == ["k-01.wav", "k-04.wav", "k-03.wav"]


@pytest.mark.parametrize("level", [0.0, -5.0, -20.0])
def test_at_its_own_velocity_a_take_is_as_loud_as_it_is(level):
    kit = {"kick": [("a.wav", 0.0), ("b.wav", level)]}
    velocity = velocity_of(level)
    [region] = [
        r
        for r in played(sfz_text(kit, {"kick": 36}, "loop"))[36]
        if int(r["lovel"]) <= velocity <= int(r["hivel"])
    ]
    assert region["sample"] == ("a.wav" if level == 0 else "b.wav")
    assert float(region[f"amp_velcurve_{velocity}"]) == 1


def test_an_open_hi_hat_is_choked_by_a_closed_one():
    kit = {"hat": [("h.wav", 0.0)], "kick": [("k.wav", 0.0)]}
    text = sfz_text(kit, {"hat": 42, "kick": 36}, "loop")
    assert text.count("off_by=1") == 1
    assert text.index("key=42") < text.index("off_by=1") < text.index("key=36")
