"""Audio that is not read is named with the way to convert it; folders are searched for audio."""

import shlex

import pytest

from audionmf.errors import AudioReadError
from audionmf.io import audio, foreign

M4A = b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom\0\0\0\0" + bytes(400)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("02 Two's.m4a", M4A, "an MP4 or M4A file, which needs ffmpeg"),
        ("no extension", M4A, "an MP4 or M4A file, which needs ffmpeg"),
        ("x.wma", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(90), "a Windows Media file, which"),
        ("x.aac", b"\xff\xf1" + bytes(90), "an AAC file, which needs ffmpeg"),
        ("x.ape", b"not what it says", r"of the kind '\.ape', which is not read here"),
    ],
)
def test_what_is_not_read_is_named_with_the_line_that_converts_it(
    tmp_path, monkeypatch, name, content, words
):
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AudioReadError, match=words) as caught:
        audio.AudioFile(path)
    line = shlex.split("ffmpeg" + str(caught.value).split(": ffmpeg")[1])
    assert line == ["ffmpeg", "-i", str(path), str(path.with_suffix(".wav"))]


def test_what_is_no_audio_gets_no_such_line(tmp_path):
    (tmp_path / "x.wav").write_bytes(b"a shopping list")
    assert foreign.conversion(tmp_path / "x.wav") == ""
    assert foreign.conversion(tmp_path / "gone.m4a") == ""


def test_a_folder_gives_its_audio_files_in_order(tmp_path):
    for name in ("b.wav", "a.FLAC", "deep/c.m4a", ".hidden.wav", "cover.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = foreign.audio_in(str(tmp_path))
    assert found == [str(tmp_path / name) for name in ("a.FLAC", "b.wav", "deep/c.m4a")]
    (tmp_path / "empty").mkdir()
    with pytest.raises(AudioReadError, match="without audio files"):
        foreign.audio_in(str(tmp_path / "empty"))
