"""The public face: its names are locked, and importing it loads nothing heavy."""

import importlib.metadata
import importlib.util
import operator
import pkgutil
import re
from pathlib import Path

import pytest
from conftest import child

import audionmf

PUBLIC = [
    "STFT",
    "Activity",
    "Audio",
    "AudioFile",
    "AudioNMFError",
    "AudioNMFWarning",
    "AudioReadError",
    "AudioWarning",
    "ClusterError",
    "Decomposition",
    "InvalidAudioError",
    "Kit",
    "Known",
    "LimitError",
    "LiveDenoiser",
    "LiveSeparator",
    "LockedError",
    "MissingExtraError",
    "NoteTable",
    "OutputError",
    "ParameterError",
    "ScoreError",
    "StoppedError",
    "Separation",
    "Settings",
    "SourceNote",
    "TemplateError",
    "TemplateMismatchError",
    "Templates",
    "analyse",
    "denoise",
    "evaluate",
    "excerpt",
    "learn",
    "morph",
    "mosaic",
    "nmf",
    "oneshots",
    "plot",
    "read",
    "remix",
    "render",
    "separate",
    "stream",
    "transcribe",
    "write",
    "decompose",
    "describe",
    "evaluate_folders",
    "read_labels",
    "report",
    "rerun",
    "separate_files",
]
HEAVY = (
    "librosa",
    "matplotlib",
    "numba",
    "scipy",
    "soundfile",
    "numpy",
    "sklearn",
    "threadpoolctl",
)


def test_the_public_names_are_locked():
    assert sorted(audionmf.__all__) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there(name):
    assert getattr(audionmf, name) is not None
    assert name in dir(audionmf)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="separete"):
        audionmf.separete  # noqa: B018


def test_a_public_name_is_the_same_object_as_in_its_module():
    from audionmf.errors import OutputError
    from audionmf.io.audio import read

    assert audionmf.read is read
    assert audionmf.OutputError is OutputError


@pytest.mark.parametrize("module", ["audionmf", "audionmf.cli", "audionmf.settings"])
def test_importing_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    result = child("-c", code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.decode().split() == []


def test_separation_loads_neither_librosa_nor_matplotlib_nor_scipy_signal():
    heavy = ("librosa", "matplotlib", "scipy.signal", "sklearn")
    code = f"import sys, audionmf.separation; print(*[m for m in {heavy!r} if m in sys.modules])"
    result = child("-c", code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.decode().split() == []


def test_a_blind_separation_does_not_load_what_others_need():
    """For a short clip that would be a third of what is loaded."""
    others = (
        "numpy.ma", "importlib.metadata", "scipy", "socket", "difflib", "audionmf.analysis.by_example",
        "audionmf.analysis.by_score", "audionmf.analysis.variants", "audionmf.batch.regrouped",
        "audionmf.nmf.activating", "audionmf.nmf.choose", "audionmf.nmf.convolutive",
        "audionmf.nmf.distributed", "audionmf.notes", "audionmf.plot", "audionmf.separation.kits",
        "audionmf.show.webpage", "audionmf.sources.score",
    )  # fmt: skip
    code = (
        "import sys, audionmf.batch.run, audionmf.analysis.blind\n"
        "from audionmf.batch.outputs import versions\n"
        "from audionmf.spectra.bands import Bands\n"
        "from audionmf.spectra.neighbours import Neighbours\n"
        "from audionmf.spectra.stft import STFT\n"
        "numba, stft = versions()['numba'], STFT(2048, 512)\n"
        "Bands.of(stft, 44100); Neighbours.of(stft, 44100)\n"
        f"print(numba, *[m for m in {others!r} if m in sys.modules])"
    )
    result = child("-c", code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.decode().split() == [importlib.metadata.version("numba")]


def test_a_command_loads_no_other():
    code = (
        "import sys; from audionmf.cli import _COMMANDS, main; main(['info', 'nowhere.wav']);"
        "print(*[name for name in _COMMANDS if f'audionmf.cli.{name}' in sys.modules])"
    )
    assert child("-c", code).stdout.decode().split() == ["info"]


def test_the_version_is_that_of_the_distribution():
    assert audionmf.__version__ == importlib.metadata.version("audionmf")
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", audionmf.__version__)


def test_every_name_of_a_package_is_there_though_it_is_loaded_when_it_is_used():
    packages = [
        each.name for each in pkgutil.walk_packages(audionmf.__path__, "audionmf.") if each.ispkg
    ]
    for name in ("audionmf", *packages):
        module = importlib.import_module(name)
        assert all(hasattr(module, public) for public in getattr(module, "__all__", ()))


def test_the_reference_has_every_public_name():
    page = Path(__file__).parents[1] / "docs" / "api.rst"
    if not page.exists():
        pytest.skip("the pages are not with the package")
    listed = set(re.findall(r"^   ([\w.]+)$", page.read_text("utf-8"), re.M))
    errors = {name for name in PUBLIC if name in vars(audionmf.errors)}
    assert set(PUBLIC) - errors - {"nmf", "plot", "evaluate"} <= listed
    fits = {f"nmf.{name}" for name in audionmf.nmf.__all__ if name.startswith(("fit", "activate"))}
    assert fits <= listed
    for name in listed:
        assert operator.attrgetter(name)(audionmf) is not None
