"""Archives come from strangers: nothing in one is trusted."""

import io
import json
import os
import struct
import warnings
import zipfile

import numpy as np
import pytest
from conftest import files_below

from audionmf.errors import OutputError, TemplateError
from audionmf.io.archive import Kind, read_archive, read_kind, write_archive

KIND = Kind("audionmf test", 3, {"values": 2, "extra": 1}, optional=frozenset({"extra"}))
VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def header(shape, descr="<f4", *, version=(1, 0)):
    """Return the header of a member alone, with whatever shape it claims."""
    stream = io.BytesIO()
    fields = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, fields)
    return stream.getvalue()


def metadata(**changes):
    return {"format": KIND.name, "version": KIND.version, "note": "a"} | changes


def archive(path, members=None, *, text=None, compression=zipfile.ZIP_DEFLATED):
    """Write an archive by hand; `members` change or, with None, drop what a good one holds."""
    content = {
        "metadata.npy": npy(np.array(json.dumps(metadata()) if text is None else text)),
        "values.npy": npy(VALUES),
    } | (members or {})
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in content.items():
            if data is not None:
                file.writestr(name, data)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.npz"


def test_what_was_written_is_read(path):
    extra = np.array([1.5, 2])
    write_archive(path, KIND, {"values": VALUES, "extra": extra}, {"note": "ä\n", "n": [1, 2]})
    arrays, found = read_archive(path, KIND)
    assert list(arrays) == ["values", "extra"]
    assert np.array_equal(arrays["values"], VALUES)
    assert (arrays["values"].dtype, arrays["extra"].dtype) == (np.float32, np.float64)
    assert found == {"note": "ä\n", "n": [1, 2]}


def test_an_optional_array_may_be_missing_and_a_required_one_may_not(path):
    write_archive(path, KIND, {"values": VALUES}, {})
    assert set(read_archive(path, KIND)[0]) == {"values"}
    write_archive(path, KIND, {"extra": VALUES[0]}, {})
    with pytest.raises(TemplateError, match="exactly the members"):
        read_archive(path, KIND)


def test_a_good_archive_made_by_hand_is_read(path):
    assert np.array_equal(read_archive(archive(path), KIND)[0]["values"], VALUES)


def test_saving_twice_gives_the_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        write_archive(tmp_path / name, KIND, {"values": VALUES}, {"b": 1, "a": 2})
    write_archive(tmp_path / "c.npz", KIND, {"values": np.asfortranarray(VALUES)}, {"a": 2, "b": 1})
    a, b, c = (tmp_path / name for name in ("a.npz", "b.npz", "c.npz"))
    assert a.read_bytes() == b.read_bytes() == c.read_bytes()


def test_the_bytes_do_not_depend_on_the_clock(tmp_path, monkeypatch):
    write_archive(tmp_path / "a.npz", KIND, {"values": VALUES}, {})
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        assert {member.date_time for member in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_numpy_opens_it_without_pickle(path):
    write_archive(path, KIND, {"values": VALUES}, {"note": "a"})
    with np.load(path, allow_pickle=False) as file:
        assert np.array_equal(file["values"], VALUES)
        assert json.loads(str(file["metadata"]))["note"] == "a"


def test_writing_leaves_the_callers_arrays_as_they_were(path):
    values = np.asfortranarray(VALUES)[:, ::-1]
    values.flags.writeable = False
    before = values.copy()
    write_archive(path, KIND, {"values": values}, {})
    assert np.array_equal(values, before)
    assert np.array_equal(read_archive(path, KIND)[0]["values"], before)


def test_a_folder_that_is_missing_is_an_output_error(tmp_path):
    with pytest.raises(OutputError):
        write_archive(tmp_path / "gone" / "a.npz", KIND, {"values": VALUES}, {})
    assert files_below(tmp_path) == []


# --- refused, each with one line that names the file

EVIL = np.array([{"pickled": "object"}], dtype=object)

BAD_MEMBERS = {
    "a pickled array": {"values.npy": npy(EVIL, allow_pickle=True)},
    "pickled metadata": {"metadata.npy": npy(EVIL, allow_pickle=True)},
    "a foreign member": {"evil.npy": npy(VALUES)},
    "a foreign file": {"readme.txt": b"hello"},
    "a member outside": {"../values.npy": npy(VALUES)},
    "no metadata": {"metadata.npy": None},
    "no values": {"values.npy": None},
    "values without their suffix": {"values.npy": None, "values": npy(VALUES)},
    "metadata without their suffix": {"metadata.npy": None, "metadata": npy(np.array("{}"))},
    "a huge claimed shape": {"values.npy": header((1 << 20, 1 << 20)) + bytes(24)},
    "an impossible claimed shape": {"values.npy": header((1 << 60, 1 << 60)) + bytes(24)},
    "a negative shape": {"values.npy": header((-2, -3)) + bytes(24)},
    "a shape of text": {"values.npy": header(("a", 3)) + bytes(24)},
    "more bytes than the shape": {"values.npy": npy(VALUES) + b"more"},
    "fewer bytes than the shape": {"values.npy": npy(VALUES)[:-4]},
    "NaN": {"values.npy": npy(np.where(VALUES == 3, np.nan, VALUES).astype(np.float32))},
    "infinity": {"values.npy": npy(np.where(VALUES == 3, np.inf, VALUES).astype(np.float32))},
    "a negative value": {"values.npy": npy(np.where(VALUES == 3, -1, VALUES).astype(np.float32))},
    "integers": {"values.npy": npy(VALUES.astype(np.int32))},
    "complex values": {"values.npy": npy(VALUES.astype(np.complex64))},
    "half precision": {"values.npy": npy(VALUES.astype(np.float16))},
    "another byte order": {"values.npy": npy(VALUES.astype(">f4"))},
    "text": {"values.npy": npy(np.array([["a"]]))},
    "records": {"values.npy": npy(np.zeros((2, 2), [("a", np.float32)]))},
    "one dimension": {"values.npy": npy(VALUES[0])},
    "three dimensions": {"values.npy": npy(VALUES[None])},
    "no array": {"values.npy": b"this is no array"},
    "an empty member": {"values.npy": b""},
    "an unknown npy version": {"values.npy": b"\x93NUMPY\x09\x00" + npy(VALUES)[8:]},
    "a header that is code": {"values.npy": header("__import__('os')") + bytes(24)},
    "a header that does not parse": {"values.npy": npy(VALUES).replace(b"{'d", b"{{{")},
    "metadata that are an array": {"metadata.npy": npy(np.array(["{}"]))},
    "metadata that are bytes": {"metadata.npy": npy(np.array(b"{}"))},
}


@pytest.mark.parametrize("members", BAD_MEMBERS.values(), ids=BAD_MEMBERS.keys())
def test_bad_members_are_refused(path, members):
    with pytest.raises(TemplateError) as caught:
        read_archive(archive(path, members), KIND)
    assert repr(str(path)) in str(caught.value)
    assert "\n" not in str(caught.value)


NO_HEADERS = {
    "another key": "{'descr': '<f4', 'shape': (), 5: 1}",
    "a key that is none": "{[]: 1}",
    "half a description": "{'descr': ('<f4',), 'fortran_order': False, 'shape': ()}",
    "no description": "{'descr': [[]], 'fortran_order': False, 'shape': ()}",
    "a number and a word": "{'shape': (2if 1 else 2)}",
    "brackets": "(" * 5000,
    "signs": "-" * 5000 + "1",
    "an open text": "'''",
    "steps": "  x\n y",
}


@pytest.mark.parametrize("header", NO_HEADERS.values(), ids=NO_HEADERS.keys())
@pytest.mark.parametrize("member", ["metadata.npy", "values.npy"])
def test_a_header_that_is_none_is_refused(path, member, header):
    for version, size in ((b"\1\0", "<H"), (b"\2\0", "<I")):
        content = b"\x93NUMPY" + version + struct.pack(size, len(header)) + header.encode()
        archive(path, {member: content})
        with warnings.catch_warnings(record=True) as caught, pytest.raises(TemplateError):
            read_archive(path, KIND)
        assert not caught


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("member", ["metadata.npy", "values.npy"])
def test_a_pickle_is_never_run(path, tmp_path, member):
    trap = np.array(Trap(tmp_path / "sprung"), dtype=object)
    archive(path, {member: npy(trap, allow_pickle=True)})
    with pytest.raises(TemplateError):
        read_archive(path, KIND)
    assert not (tmp_path / "sprung").exists()


def test_numpy_is_told_to_refuse_pickles_as_well(path, monkeypatch):
    read_array, allowed = np.lib.format.read_array, []

    def spy(stream, **options):
        allowed.append(options["allow_pickle"])
        return read_array(stream, **options)

    monkeypatch.setattr(np.lib.format, "read_array", spy)
    read_archive(archive(path), KIND)
    assert allowed == [False, False]


BAD_TEXTS = {
    "no JSON": "{",
    "empty": "",
    "no object": "[1]",
    "a number": "3",
    "too deep": "[" * 100_000,
    "another kind": json.dumps(metadata(format="audionmf templates")),
    "no kind": json.dumps({"version": 3}),
    "no version": json.dumps({"format": KIND.name}),
    "an older version": json.dumps(metadata(version=2)),
    "a newer version": json.dumps(metadata(version=4)),
    "a version in words": json.dumps(metadata(version="3")),
    "a version that is a list": json.dumps(metadata(version=[3])),
    "a number of too many digits": '{"format": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=BAD_TEXTS.keys())
def test_bad_metadata_are_refused(path, text):
    with pytest.raises(TemplateError) as caught:
        read_archive(archive(path, text=text), KIND)
    assert repr(str(path)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_version_names_both_versions(path):
    with pytest.raises(TemplateError, match=r"version 9; this audionmf reads version 3"):
        read_archive(archive(path, text=json.dumps(metadata(version=9))), KIND)


def test_a_member_that_is_there_twice_is_refused(path):
    archive(path)
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("values.npy", npy(VALUES))
    with pytest.raises(TemplateError):
        read_archive(path, KIND)


def with_claimed_size(path, member, size):
    """Change what the archive's directory says about the unpacked size of a member."""
    content = bytearray(path.read_bytes())
    place = content.rindex(member.encode()) - 46
    assert content[place : place + 4] == b"PK\x01\x02"
    content[place + 24 : place + 28] = struct.pack("<I", size)
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("size", [(1 << 30) + 1, (1 << 32) - 2])
def test_a_bomb_is_refused_by_the_size_that_it_claims(path, size, monkeypatch):
    with_claimed_size(archive(path), "values.npy", size)
    monkeypatch.setattr(zipfile.ZipFile, "open", None)  # nothing may be unpacked to find out
    with pytest.raises(TemplateError, match="would unpack to"):
        read_archive(path, KIND)


@pytest.mark.parametrize("size", [10, 200, 1 << 20])
def test_a_size_that_is_a_lie_is_refused(path, size):
    with_claimed_size(archive(path), "values.npy", size)
    with pytest.raises(TemplateError):
        read_archive(path, KIND)


def test_metadata_that_claim_too_much_are_refused(path):
    with_claimed_size(archive(path), "metadata.npy", 1 << 25)
    with pytest.raises(TemplateError, match="too much"):
        read_archive(path, KIND)


def test_a_bomb_that_lies_small_unpacks_no_more_than_it_claims(path):
    member = header((1 << 22, 1)) + bytes(1 << 24)
    archive(path, {"values.npy": member})
    with_claimed_size(path, "values.npy", 152)
    with pytest.raises(TemplateError):
        read_archive(path, KIND)


@pytest.mark.parametrize("content", [b"P", b"text, not an archive\n", b"PK\x03\x04", b"\0" * 99])
def test_what_is_no_archive_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(TemplateError, match="not an audionmf test file"):
        read_archive(path, KIND)


def test_an_empty_file_is_told_as_such(path):
    path.touch()
    with pytest.raises(TemplateError, match=r"is empty \(0 bytes\)"):
        read_archive(path, KIND)


def test_a_file_that_is_cut_anywhere_is_refused(path):
    content = archive(path).read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(TemplateError):
            read_archive(path, KIND)


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_a_flipped_byte_is_refused_or_harmless_but_never_another_error(path, flip):
    content = archive(path).read_bytes()
    other = path.with_name("flipped.npz")
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= flip
        other.write_bytes(bytes(damaged))
        try:
            read_kind(other)
            arrays, _ = read_archive(other, KIND)
        except TemplateError:
            continue
        assert np.array_equal(arrays["values"], VALUES)


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_damage_under_another_compression_is_refused(path, compression):
    content = archive(path, compression=compression).read_bytes()
    for place in range(0, len(content), 11):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(bytes(damaged))
        try:
            read_kind(path)
            read_archive(path, KIND)
        except TemplateError:
            continue


def test_an_encrypted_member_is_refused(path):
    content = bytearray(archive(path).read_bytes())
    for signature, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        place = -1
        while (place := content.find(signature, place + 1)) >= 0:
            content[place + offset] |= 1
    path.write_bytes(bytes(content))
    for reader in (lambda: read_archive(path, KIND), lambda: read_kind(path)):
        with pytest.raises(TemplateError):
            reader()


def test_a_missing_file_stays_file_not_found(path):
    for reader in (lambda: read_archive(path, KIND), lambda: read_kind(path)):
        with pytest.raises(FileNotFoundError):
            reader()


def test_a_folder_and_a_pipe_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(TemplateError):
            read_archive(path, KIND)


# --- what a file says it is


def test_the_kind_of_a_file_is_what_its_metadata_say(path):
    write_archive(path, KIND, {"values": VALUES}, {})
    assert read_kind(path) == "audionmf test"


@pytest.mark.parametrize("content", [b"", b"RIFF", b"PK", b"text"])
def test_a_file_that_is_no_archive_has_no_kind(path, content):
    path.write_bytes(content)
    assert read_kind(path) is None


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000])
def test_a_damaged_archive_has_no_kind_but_an_error(path, text):
    with pytest.raises(TemplateError, match=r"a\.npz"):
        read_kind(archive(path, text=text))


def test_an_archive_of_something_else_has_no_kind_but_an_error(path):
    for members in ({"metadata.npy": None}, {"metadata.npy": npy(EVIL, allow_pickle=True)}):
        with pytest.raises(TemplateError, match=r"a\.npz"):
            read_kind(archive(path, members))
    path.write_bytes(b"PK\x03\x04broken")
    with pytest.raises(TemplateError, match=r"a\.npz"):
        read_kind(path)
