"""What is seen at keys, and where a network says that notes begin."""

import numpy as np
import pytest
from instruments import RATE, harmonic

from audionmf.notes import note_starts as starts
from audionmf.notes import pitched, sound
from audionmf.notes.keyboard import PER_KEY, Keyboard, keyboard
from audionmf.notes.model import Fit, fit_keys

CHORDS = [(0.4 + 0.7 * i, 1.0 + 0.7 * i, key) for i in range(2) for key in (48, 64, 69)]


def sine(key, seconds=0.5):
    return np.sin(2 * np.pi * 440 * 2 ** ((key - 69) / 12) * np.arange(int(seconds * RATE)) / RATE)


def board_of(x, others=()):
    spectra = sound.spectra_of(x)
    fit = fit_keys(spectra)
    loud = sound.loud_of(sound.level_db(spectra.S))
    return keyboard(spectra, fit, loud, [sound.long_magnitudes(y) for y in others]), fit


@pytest.fixture(scope="module")
def chords():
    return board_of(harmonic(CHORDS, 1.9))


@pytest.mark.parametrize("key", [40, 57, 69, 88])
def test_a_sine_is_seen_at_its_key_as_loud_as_it_is(key):
    spectra = sound.spectra_of(0.1 * sine(key))
    fit = Fit(*(np.zeros((78, spectra.V.shape[1])),) * 3, np.arange(26.0, 104), 0.0)
    board = keyboard(spectra, fit, -20.0)
    middle = board.long[PER_KEY // 2 :: PER_KEY, 25]
    row = board.first + key - 26
    assert int(middle.argmax()) == row
    assert middle[row] == pytest.approx(1, abs=0.01)
    assert board.long[PER_KEY * (row + 2), 25] < middle[row] or key < 50


def test_what_is_seen_does_not_depend_on_the_level_and_others_are_on_the_same_scale():
    x = harmonic(CHORDS, 1.9)
    (soft, _), (loud, _) = board_of(x, [x]), board_of(50 * x, [50 * x])
    for name in ("long", "short", "others", "fitted"):
        np.testing.assert_allclose(getattr(soft, name), getattr(loud, name), atol=2e-3)
    sounds = soft.long[PER_KEY // 2 :: PER_KEY] > 0.6
    assert sounds.sum() > 100
    np.testing.assert_allclose(
        soft.others[sounds], soft.long[PER_KEY // 2 :: PER_KEY][sounds], atol=0.15
    )
    assert not board_of(x)[0].others.any()


def test_a_note_may_begin_wherever_one_does(chords):
    board, fit = chords
    at = starts.places(board)
    for onset, _, key in CHORDS:
        mine = at.frames[at.rows == key - int(fit.keys[0])] * sound.SECONDS
        assert np.abs(mine - onset).min() < 0.05


def test_the_network_tells_notes_from_partials_and_when_they_begin(chords):
    board, fit = chords
    told = starts.note_starts(board)
    true = np.zeros(len(told.rows), bool)
    for onset, _, key in CHORDS:
        mine = (told.rows == key - int(fit.keys[0])) & (
            np.abs(told.frames * sound.SECONDS - onset) < 0.05
        )
        best = int(np.where(mine, told.sure, -1).argmax())
        assert told.sure[best] > 0.5
        assert abs(told.frames[best] * sound.SECONDS - onset) < 0.02
        true |= mine
    assert np.mean(told.sure[~true] > 0.5) < 0.02


def test_all_keys_are_judged_alike_and_beyond_the_maps_nothing_sounds(chords):
    board, _ = chords
    at = starts.places(board)
    seen = starts.looks(board, at)
    assert seen.shape == (len(at.rows), starts.N_SEEN)
    edges = starts.Places(np.array([0, 77]), np.array([0, board.fitted.shape[1] - 1]))
    assert np.isfinite(starts.looks(board, edges)).all()
    near = starts.around(at, np.ones(len(at.rows), np.float32), *board.fitted.shape)
    assert near.shape == (len(at.rows), starts.N_AROUND)


def test_where_nothing_rises_no_note_may_begin():
    silence = np.zeros((88, 50), np.float32)
    board = Keyboard(silence.repeat(PER_KEY, 0), silence, silence, silence[:78], 1)
    assert len(starts.note_starts(board).rows) == 0


def test_what_the_network_says_moves_what_is_taken_for_a_note():
    rows, frames = np.array([3, 3, 5]), np.array([10.0, 11.0, 10.0])
    said = starts.Starts(rows, np.array([0.2, 0.9, 0.8]), frames)
    told = pitched._told(pitched._Candidate(3, 12, 14, 40, 1.0, 0.0), said)
    assert told.sure == pytest.approx(0.9)
    assert pitched._struck(told) == pytest.approx(11 * sound.SECONDS, abs=1e-3)
    unknown = pitched._told(pitched._Candidate(4, 12, 14, 40, 1.0, 0.0), said)
    assert unknown.sure == 0
    assert pitched._of_odds(0.9) > 0 > pitched._of_odds(0.1) > pitched._of_odds(0)
    assert pitched._likely(told, -100.0)
    assert not pitched._likely(unknown, -100.0)
