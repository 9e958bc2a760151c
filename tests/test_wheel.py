"""The wheel: built, installed into an empty environment, and used from there."""

import email
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import RATE, sound, two_notes

ROOT = Path(__file__).parent.parent
needs_hatchling = pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None,
    reason="builds with hatchling; pip install -e '.[dev]' brings it",
)


def run(*words, **options):
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, timeout=120,
        **options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


NAMED = "https://code.example/someone/audionmf"


def built(what, folder, root, **environment):
    """Build a wheel or an sdist of a source tree, and return its metadata and the file."""
    code = f"import hatchling.build as b; print(b.build_{what}({str(folder)!r}))"
    env = {name: value for name, value in os.environ.items() if not name.startswith("AUDIONMF")}
    name = run(sys.executable, "-c", code, cwd=root, env=env | environment).strip()
    if what == "wheel":
        files = zipfile.ZipFile(folder / name)
        (inside,) = (one for one in files.namelist() if one.endswith("METADATA"))
        text = files.read(inside)
    else:
        with tarfile.open(folder / name) as files:
            text = files.extractfile(f"{name.removesuffix('.tar.gz')}/PKG-INFO").read()
    return email.message_from_bytes(text), folder / name


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The metadata of a wheel of this tree, whose builder says where the source is, and its file."""
    folder = tmp_path_factory.mktemp("wheel")
    return built("wheel", folder, ROOT, AUDIONMF_SOURCE_URL=f"{NAMED}/")


@pytest.fixture
def wheel(published):
    return published[1]


@needs_hatchling
def test_the_wheel_works_in_an_environment_of_its_own(wheel, tmp_path):
    home = tmp_path / "env"
    venv.create(home, with_pip=False)
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    told = run(python, "-c", "import audionmf; print(audionmf.__file__)", cwd=tmp_path, env=env)
    assert Path(told.strip()).is_relative_to(home.resolve())
    assert run(python.parent / "audionmf", "--version", cwd=tmp_path, env=env).strip()
    # What it needs comes from the environment of the tests, after its own folder.
    env["PYTHONPATH"] = os.pathsep.join(
        [str(Path(told.strip()).parents[1]), sysconfig.get_paths()["purelib"]]
    )
    mix = sound(tmp_path / "mix.wav", two_notes())
    told = run(python, "-m", "audionmf", "info", mix, cwd=tmp_path, env=env)  # compiles nothing
    assert f"mono, {RATE} Hz" in told


@needs_hatchling
def test_the_wheel_holds_the_pages_and_types_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in ("audionmf/py.typed", "audionmf/studio/page/", "audionmf/show/page/"):
        assert any(name.startswith(wanted) for name in names), wanted
    assert not [name for name in names if name.startswith(("tests", "docs", "hatch_build"))]


@needs_hatchling
def test_no_link_of_the_description_breaks(wheel):
    files = zipfile.ZipFile(wheel)
    name = next(name for name in files.namelist() if name.endswith("METADATA"))
    text = email.message_from_bytes(files.read(name)).get_payload()
    assert text.lstrip().startswith("# audionmf")
    assert [link for link in re.findall(r"\]\(([^)]*)\)", text) if "://" not in link] == []


@pytest.fixture(scope="module")
def hook():
    pytest.importorskip("hatchling")
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_lead_to_the_repository_where_one_is_named(hook):
    text = '![a](docs/a.png)\n\n<picture><img src="b.png"></picture>\n\nSee [b](docs/b.md), [c](https://c.example/).'
    assert hook.described(text, "https://x.example/y") == (
        "![a](https://x.example/y/raw/HEAD/docs/a.png)\n\n"
        '<picture><img src="https://x.example/y/raw/HEAD/b.png"></picture>\n\n'
        "See [b](https://x.example/y/blob/HEAD/docs/b.md), [c](https://c.example/)."
    )
    assert hook.described(text) == "See b (`docs/b.md` in the source), [c](https://c.example/)."


@needs_hatchling
def test_who_publishes_says_where_the_source_is(published, tmp_path):
    wheel, _ = published
    sdist, file = built("sdist", tmp_path, ROOT, AUDIONMF_SOURCE_URL=f"{NAMED}/")
    with tarfile.open(file) as files:
        files.extractall(tmp_path, filter="data")
    unpacked = tmp_path / file.name.removesuffix(".tar.gz")
    again, _ = built("wheel", tmp_path / "again", unpacked)
    for told in (wheel, sdist, again):
        urls = dict(line.split(", ") for line in told.get_all("Project-URL"))
        assert urls == {
            "Source": NAMED,
            "Documentation": f"{NAMED}/blob/HEAD/docs/index.md",
            "Changelog": f"{NAMED}/blob/HEAD/CHANGELOG.md",
            "Issues": f"{NAMED}/issues",
        }
        text = told.get_payload()
        links = re.findall(r"\]\(([^)]*)\)|(?:src|srcset)=\"([^\"]*)\"", text)
        places = [link or picture for link, picture in links]
        assert f"{NAMED}/blob/HEAD/docs/start.md" in places
        assert f"{NAMED}/raw/HEAD/docs/studio-dark.png" in places
        assert [place for place in places if not place.startswith("https://")] == []
        for place in places:  # what is linked is there
            path = place.removeprefix(NAMED).split("/HEAD/")[-1]
            assert (ROOT / path).exists(), place


@needs_hatchling
def test_without_an_address_none_is_named(tmp_path):
    for what in ("wheel", "sdist"):
        told, _ = built(what, tmp_path, ROOT, AUDIONMF_SOURCE_URL="")
        assert told.get_all("Project-URL") is None
        assert told.get_all("Dynamic") is None
        assert not re.findall(r"<(?:picture|img)|\]\(", told.get_payload())


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://code.example/me/audionmf.git", "https://code.example/me/audionmf"),
        ("https://me:secret@code.example:8443/a/b/", "https://code.example:8443/a/b"),
        ("git@code.example:me/audionmf.git", "https://code.example/me/audionmf"),
        ("ssh://git@code.example:2222/me/audionmf", "https://code.example/me/audionmf"),
        ("/srv/git/audionmf", ""),
        ("../audionmf", ""),
        ("file:///srv/git/audionmf.git", ""),
        ("C:/git/audionmf", ""),
        ("http://code.example/me/audionmf", ""),
        ("git@box:me/audionmf.git", ""),
        ("https://localhost/me/audionmf", ""),
        ("https://git.local/me/audionmf", ""),
        ("https://192.168.0.7/me/audionmf", ""),
        ("https://[::1/me", ""),
        ("https://code.example", ""),
        ("", ""),
    ],
)
def test_a_remote_of_git_is_an_address_where_it_is_public(hook, remote, address):
    assert hook.public_address(remote) == address


def test_what_the_builder_says_comes_before_what_git_says(hook, tmp_path):
    if shutil.which("git") is None:
        pytest.skip("there is no git here")
    assert hook.source_address(tmp_path, {}) == ""
    run("git", "init", "--quiet", tmp_path)
    assert hook.source_address(tmp_path, {}) == ""
    run("git", "-C", tmp_path, "config", "remote.origin.url", "git@code.example:me/nmf.git")
    assert hook.source_address(tmp_path, {}) == "https://code.example/me/nmf"
    inner = tmp_path / "inner"
    inner.mkdir()
    assert hook.source_address(inner, {}) == ""  # the repository around it is another one
    assert hook.source_address(tmp_path, {"AUDIONMF_SOURCE_URL": f"{NAMED}/"}) == NAMED
    assert hook.source_address(tmp_path, {"AUDIONMF_SOURCE_URL": ""}) == ""
    with pytest.raises(ValueError, match="AUDIONMF_SOURCE_URL is an address"):
        hook.source_address(tmp_path, {"AUDIONMF_SOURCE_URL": "me/audionmf"})
