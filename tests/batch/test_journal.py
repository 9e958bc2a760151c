"""The journal: what it says is finished is finished, whatever happened while it was written."""

import errno
import json
import os

import pytest

from audionmf.batch import journal
from audionmf.batch.journal import Entry, Journal, OutputHash
from audionmf.errors import OutputError

ENTRY = Entry("mix/manifest.json", "key", {"mix/a.wav": OutputHash("00ff", 12)})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "journal.jsonl"


def write(path, *entries):
    with Journal(path) as book:
        for entry in entries:
            book.add(entry)


def read(path):
    with Journal(path) as book:
        return book.entries


def test_what_was_added_is_read_again(path):
    second = Entry("caf\udce9/manifest.json", "k", {})
    write(path, ENTRY)
    write(path, second)
    assert read(path) == {ENTRY.track: ENTRY, second.track: second}
    assert path.read_bytes().count(b"\n") == 3


def test_the_last_word_on_a_track_counts(path):
    again = Entry(ENTRY.track, "another key", {})
    write(path, ENTRY, again)
    assert read(path) == {ENTRY.track: again}


def test_each_line_is_on_the_disk_before_add_returns(path, monkeypatch):
    events = []
    write_, fsync = os.write, os.fsync
    monkeypatch.setattr(os, "write", lambda fd, b: (events.append("write"), write_(fd, b))[1])
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append("fsync"), fsync(fd))[1])
    with Journal(path) as book:
        events.clear()
        book.add(ENTRY)
        assert events == ["write", "fsync"]


@pytest.mark.parametrize("n_bytes", [0, 1, 10, 44, 45, 46, 80])
def test_a_line_that_was_cut_off_is_passed_over_and_cleared_away(path, n_bytes):
    write(path, ENTRY)
    whole = path.read_bytes()
    path.write_bytes(whole[:n_bytes])
    assert read(path) == {}
    write(path, ENTRY)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b"null", b'{"track": 1}', b'{"outputs": {"a": 3}}', b"\xff", b"[" * 9999,
     b'{"track": 1, "key": "k", "outputs": {}}', b'{"track": "t", "key": null, "outputs": {}}',
     b'{"track": "t", "key": "k", "outputs": {"a": ["00", -1]}}',
     b'{"track": "t", "key": "k", "outputs": {"a": ["00", 1e400]}}',
     b'{"track": "t", "key": "k", "outputs": {"a": ["00", true]}}',
     b'{"track": "t", "key": "k", "outputs": {"a": [[], 1]}}',
     b'{"track": "t", "key": "k", "outputs": {"a": ["00", 1' + b"0" * 5000 + b"]}}"]
)  # fmt: skip
def test_a_line_that_is_no_entry_is_passed_over(path, line):
    write(path, ENTRY)
    with path.open("ab") as stream:
        stream.write(line + b"\n")
    assert read(path) == {ENTRY.track: ENTRY}


def test_a_line_that_no_run_has_written_is_refused_and_left_alone(path):
    write(path, ENTRY)
    with path.open("ab") as stream:
        stream.write(b"[" * (journal._MAX_LINE + 1))
    content = path.read_bytes()
    with pytest.raises(OutputError, match="no journal"):
        Journal(path).__enter__()
    assert path.read_bytes() == content


def test_it_grows_no_further_than_it_can_be_read_again(path, monkeypatch):
    write(path, ENTRY)
    monkeypatch.setattr(journal, "_MAX_BYTES", path.stat().st_size + 10)
    with Journal(path) as book, pytest.raises(OutputError, match="move it away"):
        book.add(Entry("other", "k", {}))
    assert read(path) == {ENTRY.track: ENTRY}


@pytest.mark.parametrize("content", [b"my notes", b"my notes\n", b'{"format": "x"}\n{}\nhalf'])
def test_another_file_of_that_name_is_refused_and_left_alone(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(OutputError, match="no journal"):
        Journal(path).__enter__()
    assert path.read_bytes() == content


def test_a_full_disk_leaves_the_journal_as_it_was(path, monkeypatch):
    write(path, ENTRY)
    whole, write_ = path.read_bytes(), os.write
    with Journal(path) as book:
        monkeypatch.setattr(journal.os, "write", lambda fd, line: write_(fd, line[:7]))
        with pytest.raises(OutputError) as caught:
            book.add(Entry("other", "k", {}))
        monkeypatch.undo()
        assert caught.value.errno == errno.ENOSPC
        assert path.read_bytes() == whole
        assert list(book.entries) == [ENTRY.track]
        book.add(Entry("third", "k", {}))
    assert list(read(path)) == [ENTRY.track, "third"]


def test_a_folder_in_its_place_is_an_output_error(path):
    path.mkdir(parents=True)
    with pytest.raises(OutputError, match=r"journal\.jsonl"):
        Journal(path).__enter__()


def test_an_entry_verifies_only_the_outputs_that_it_names_unchanged(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"content {name}")
    outputs = {name: OutputHash.of(tmp_path / name) for name in ("a", "b")}
    entry = Entry.from_dict(json.loads(json.dumps(Entry("t", "k", outputs).to_dict())))
    assert entry.verifies(tmp_path, {"a", "b"})
    assert not entry.verifies(tmp_path, {"a"})
    assert not entry.verifies(tmp_path, {"a", "b", "c"})
    (tmp_path / "b").write_text("content c")  # of the same size
    assert not entry.verifies(tmp_path, {"a", "b"})
    (tmp_path / "b").unlink()
    assert not entry.verifies(tmp_path, {"a", "b"})
