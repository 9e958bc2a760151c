"""Whole files or none, safe names, and outputs that are nobody's input."""

import errno
import os
import time
from pathlib import Path

import pytest
from conftest import child, files_below
from hypothesis import given
from hypothesis import strategies as st

from audionmf.errors import AudioReadError, InvalidAudioError, OutputError
from audionmf.io import files

# --- reading


def test_an_ordinary_file_is_returned_as_a_path(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    assert files.require_file(str(tmp_path / "a")) == tmp_path / "a"


def test_a_missing_file_stays_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        files.require_file(tmp_path / "gone.wav")
    assert caught.value.filename == str(tmp_path / "gone.wav")


def test_a_dangling_link_is_file_not_found(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        files.require_file(tmp_path / "link")


def test_a_folder_a_looping_link_and_a_device_are_refused(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path, tmp_path / "loop", Path("/dev/null")):
        with pytest.raises(AudioReadError, match=str(path)):
            files.require_file(path)


def test_a_path_below_an_ordinary_file_is_refused(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(AudioReadError):
        files.require_file(tmp_path / "a" / "b.wav")


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    start = time.monotonic()
    with pytest.raises(AudioReadError, match="not an ordinary file"):
        files.require_file(tmp_path / "pipe.wav")
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("name", ["x" * 5000, "nul\0inside"])
def test_a_name_that_no_file_can_have_is_refused(name, tmp_path):
    with pytest.raises(AudioReadError):
        files.require_file(tmp_path / name)


def test_a_link_to_a_file_is_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert files.require_file(tmp_path / "link") == tmp_path / "link"


# --- writing


def test_a_file_is_written_whole(tmp_path):
    assert files.write_bytes(tmp_path / "a.npz", b"content") == tmp_path / "a.npz"
    assert (tmp_path / "a.npz").read_bytes() == b"content"
    assert files_below(tmp_path) == ["a.npz"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ZeroDivisionError, SystemExit, OSError])
@pytest.mark.parametrize("existing", [True, False])
def test_an_exception_while_writing_leaves_the_folder_as_it_was(tmp_path, kind, existing):
    path = tmp_path / "a.wav"
    if existing:
        path.write_bytes(b"old")

    def half():
        with files.atomic_path(path) as temporary:
            temporary.write_bytes(b"half")
            raise kind

    with pytest.raises(OutputError if kind is OSError else kind):
        half()
    assert files_below(tmp_path) == (["a.wav"] if existing else [])
    assert not existing or path.read_bytes() == b"old"


def test_the_final_name_is_not_there_while_writing(tmp_path):
    path = tmp_path / "a.wav"
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(b"new")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == path.suffix
    assert path.read_bytes() == b"new"


def test_an_error_about_the_input_is_not_taken_for_one_of_the_output(tmp_path):
    for error in (AudioReadError(0, "the input is damaged"), InvalidAudioError("NaN")):
        with pytest.raises(type(error)), files.atomic_path(tmp_path / "a.wav"):
            raise error


def test_a_file_that_was_not_written_is_an_output_error(tmp_path):
    with pytest.raises(OutputError), files.atomic_path(tmp_path / "a.wav"):
        pass
    assert files_below(tmp_path) == []


def test_a_file_is_not_put_in_the_place_of_a_folder(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OutputError) as caught:
        files.write_bytes(tmp_path / "a", b"content")
    assert caught.value.errno in (errno.EISDIR, errno.EEXIST)
    assert files_below(tmp_path) == []


def test_a_missing_folder_is_an_output_error_with_its_errno(tmp_path):
    with pytest.raises(OutputError) as caught:
        files.write_bytes(tmp_path / "gone" / "a", b"content")
    assert caught.value.errno == errno.ENOENT
    assert repr(str(tmp_path / "gone" / "a")) in str(caught.value)


FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
from audionmf.io import files
try:
    files.write_bytes(sys.argv[1], bytes(20_000))
except files.OutputError as error:
    print(error.errno)
"""


def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path):
    result = child("-c", FULL_DISK, str(tmp_path / "a"))
    assert result.stdout.split() == [str(errno.EFBIG).encode()], result.stderr
    assert files_below(tmp_path) == []


def test_making_a_folder_makes_its_parents_and_leaves_no_probe(tmp_path):
    assert files.make_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert files.make_folder(tmp_path / "a" / "b").is_dir()
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("folder", ["file", "file/below", "dangling"])
def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path, folder):
    (tmp_path / "file").write_bytes(b"kept")
    (tmp_path / "dangling").symlink_to(tmp_path / "file" / "nowhere")
    with pytest.raises(OutputError) as caught:
        files.make_folder(tmp_path / folder)
    assert caught.value.errno
    assert (tmp_path / "file").read_bytes() == b"kept"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody may write to")
def test_a_folder_that_takes_no_files_is_an_output_error():
    with pytest.raises(OutputError):
        files.make_folder("/proc/self")


# --- outputs and inputs


def test_outputs_apart_from_the_inputs_pass(tmp_path):
    (tmp_path / "in").touch()
    files.refuse_overwriting([tmp_path / "a", tmp_path / "b"], [tmp_path / "in", tmp_path / "gone"])


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_an_output_that_is_an_input_is_refused_by_any_name(tmp_path, link):
    source = tmp_path / "in.wav"
    source.touch()
    output = source
    if link is not None:
        output = tmp_path / "other.wav"
        link(source, output)
    for a, b in ((output, source), (source, output)):
        with pytest.raises(OutputError, match="overwrite the input") as caught:
            files.refuse_overwriting([a], [b])
        assert caught.value.errno == errno.EEXIST


def test_two_outputs_of_one_name_are_refused_even_before_they_exist(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    with pytest.raises(OutputError, match="two outputs"):
        files.refuse_overwriting([tmp_path / "folder" / "a", tmp_path / "link" / "a"], [])


def test_names_that_are_too_long_are_left_to_the_reader_and_the_writer(tmp_path):
    files.refuse_overwriting([tmp_path / "a", tmp_path / ("x" * 5000)], [tmp_path / ("y" * 5000)])


# --- names


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("violin", "violin"),
        ("first violin", "first violin"),
        ("Geige – äöü", "Geige – äöü"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("/absolute", "_absolute"),
        ('a\\b:c*d?e"f<g>h|i', "a_b_c_d_e_f_g_h_i"),
        ("two\nlines\0nul", "two_lines_nul"),
        ("..", "unnamed"),
        ("", "unnamed"),
        (" . ", "unnamed"),
        ("con", "_con"),
        ("LPT1.wav", "_LPT1.wav"),
        ("console", "console"),
        ("bad\udcffbyte", "bad_byte"),
        ("x" * 120, "x" * 120),
        ("x" * 200, "x" * 111 + "~aa20c23e"),
        ("flu\u0302te", "fl\u00fbte"),
    ],
)
def test_names_are_cleaned_for_the_file_system(name, safe):
    assert files.safe_name(name) == safe


@given(st.text(st.characters()) | st.text("./\\ \0aé", max_size=300))
def test_a_safe_name_is_one_short_component_that_stays_as_it_is(name):
    safe = files.safe_name(name)
    assert safe == files.safe_name(safe)
    assert safe not in ("", ".", "..")
    assert not set(safe) & set('<>:"/\\|?*\0\n')
    assert safe == safe.strip(" .")
    assert len(os.fsencode(safe)) <= 121
    assert Path(safe).name == safe


@pytest.mark.parametrize("letter", ["x", "é", "夜"])
def test_long_names_are_cut_by_bytes_and_stay_different(letter):
    first, second = (files.safe_name(letter * 200 + end) for end in "ab")
    assert first != second
    assert first.startswith(letter * 37)
    assert all(100 < len(name.encode()) <= 120 for name in (first, second))
    assert files.safe_name("x" * 110 + " ." * 90).isprintable()
