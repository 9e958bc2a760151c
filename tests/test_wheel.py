"""The wheel: built, installed into an empty environment, and used from there."""

import email
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    code = f"import hatchling.build as b; b.build_wheel({str(folder)!r})"
    run(sys.executable, "-c", code, cwd=ROOT)
    return next(folder.glob("*.whl"))


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


def test_links_lead_to_the_repository_where_one_is_named():
    pytest.importorskip("hatchling")
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = "![a](docs/a.png)\n\nSee [b](docs/b.md), [c](https://c.example/)."
    assert module.described(text, "https://x.example/y/") == (
        "![a](https://x.example/y/raw/HEAD/docs/a.png)\n\n"
        "See [b](https://x.example/y/blob/HEAD/docs/b.md), [c](https://c.example/)."
    )
    assert module.described(text) == "See b (`docs/b.md` in the source), [c](https://c.example/)."
