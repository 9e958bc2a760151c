"""The house: every wing imports only from wings below it, every file only from those named before."""

import ast
import functools
import re
from pathlib import Path

import pytest

import audionmf

ROOT = Path(audionmf.__file__).parent
WINGS = (
    "errors", "settings", "io", "spectra", "plot", "nmf", "sources", "rendering", "analysis",
    "notes", "evaluate", "show", "separation", "batch", "live", "studio", "cli",
)  # fmt: skip
MOST_LINES = 700
FILES = sorted(ROOT.rglob("*.py"))
WITH_ORDER = sorted(p.name for p in ROOT.iterdir() if (p / "__init__.py").exists())


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text("utf-8"))


def imported(path):
    """Yield what a file imports of the package, wherever in it, for type checking too."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("audionmf."):
                yield resolved(name.removeprefix("audionmf."))


def resolved(name):
    """Return the module that a dotted name lies in."""
    parts = name.split(".")
    while parts and not (
        (ROOT.joinpath(*parts)).with_suffix(".py").exists()
        or ROOT.joinpath(*parts, "__init__.py").exists()
    ):
        parts.pop()
    return ".".join(parts)


def order_of(wing):
    """Return the files of a wing in the order in which its first words name them."""
    text = ast.get_docstring(ast.parse((ROOT / wing / "__init__.py").read_text("utf-8"))) or ""
    return re.findall(r"^- `(\w+)`: ", text, flags=re.MULTILINE)


def test_nothing_depends_on_how_python_optimises():
    """Neither assertions nor what asks for them: with ``-O`` everything is as without."""
    for path in FILES:
        if not re.search("assert|__debug__", path.read_text("utf-8")):
            continue  # to read all of them as Python takes seconds
        for node in ast.walk(tree_of(path)):
            assert not isinstance(node, ast.Assert), f"{path}:{node.lineno}"
            named = isinstance(node, ast.Name) and node.id == "__debug__"
            assert not named, f"{path}:{node.lineno}"


def test_every_wing_has_its_place():
    found = {p.stem for p in ROOT.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert found - {"__init__", "__main__"} == set(WINGS)


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_imports_from_wings_below_it_only(wing):
    files = [path for path in FILES if name_of(path).split(".")[0] == wing]
    assert files
    for path in files:
        for name in imported(path):
            other = name.split(".")[0]
            if other:
                assert WINGS.index(other) <= WINGS.index(wing), f"{name_of(path)} imports {name}"


@pytest.mark.parametrize("wing", WITH_ORDER)
def test_a_file_imports_only_those_that_its_wing_names_before_it(wing):
    order = order_of(wing)
    assert sorted(order) == sorted(
        p.stem for p in (ROOT / wing).glob("*.py") if p.stem != "__init__"
    )
    for place, stem in enumerate(order):
        for name in imported(ROOT / wing / f"{stem}.py"):
            inside = name.split(".")
            if inside[0] == wing and len(inside) > 1:
                assert inside[1] in order[:place], f"{wing}.{stem} imports {name}"
            assert name != wing, f"{wing}.{stem} imports its own wing, which imports it"


@pytest.mark.parametrize("suffix", [".py", ".js", ".css", ".html"])
def test_no_file_is_too_long_to_read(suffix):
    long = {
        str(path.relative_to(ROOT)): count
        for path in ROOT.rglob(f"*{suffix}")
        if (count := len(path.read_text("utf-8").splitlines())) > MOST_LINES
    }
    assert not long


def test_the_package_is_typed():
    assert (ROOT / "py.typed").is_file()


def test_no_two_test_files_have_one_name():
    """Those in folders without `__init__` would be taken for each other when both are collected."""
    names = [p.name for p in Path(__file__).parent.rglob("test_*.py") if p.parent.name != "nmf"]
    assert len(names) == len(set(names))


def test_the_plan_names_wings_and_files_that_are_there():
    text = (ROOT.parent / "docs" / "architecture.md").read_text("utf-8")
    wings = {
        name
        for row in re.findall(r"^\| (`.*?) \|", text, re.M)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert set(WINGS) <= wings
    files = set(re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", text))
    assert len(files) > 30
    assert [f for f in files if not ((ROOT / f).exists() or (ROOT.parent / f).exists())] == []
    models = re.findall(r"^\| `(\w+)` \| .* \| `([\w/]+\.py)` \|", text, re.M)
    assert len(models) == 6
    for name, file in models:
        assert f"class {name}" in (ROOT / file).read_text("utf-8"), name
