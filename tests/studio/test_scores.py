"""Notes that were written in the page become a score that a source is known by."""

import pytest

from audionmf.errors import ParameterError
from audionmf.sources.score import read_score
from audionmf.studio.scores import write_score
from audionmf.studio.session import Session

NOTES = [[0.25, 0.75, 60, 90], [1.0, 1.5, 64, 127]]


def test_notes_come_back_as_they_were_written(tmp_path):
    path, names = write_score([["a flute", NOTES], ["низ", [[0.0, 2.0, 36, 1]]]], tmp_path)
    assert names == ["a flute", "низ"]
    flute, low = read_score(path).parts
    assert flute.name == "a flute"
    for note, (onset, offset, key, velocity) in zip(flute.notes, NOTES, strict=True):
        assert note.onset == pytest.approx(onset, abs=1e-3)
        assert note.offset == pytest.approx(offset, abs=1e-3)
        assert (note.pitch, note.velocity) == (key, velocity)
    assert [note.pitch for note in low.notes] == [36]
    studio = Session(tmp_path)
    assert len(studio.add_given(path, "x-notes.mid").parts) == 2
    studio.worker.close()


@pytest.mark.parametrize(
    "parts",
    [
        [], "x", [["a", []]], [["a", NOTES], ["a", NOTES]], [["rest", NOTES]], [[1, NOTES]],
        [["a", [[0.5, 0.5, 60, 90]]]], [["a", [[0, 1, 128, 90]]]], [["a", [[0, 1, 60.0, 90]]]],
        [["a", [[0, 1, 60, 0]]]], [["a", [[-1, 1, 60, 90]]]], [["a", [[0, 1e9, 60, 90]]]],
        [["a", [[0, 1, 60, 90]] * 8001]], [["a", [[True, 2, 60, 90]]]],
    ],
)  # fmt: skip
def test_notes_that_make_no_sense_are_refused(tmp_path, parts):
    with pytest.raises(ParameterError):
        write_score(parts, tmp_path)
    assert not list(tmp_path.iterdir())
