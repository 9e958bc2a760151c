"""Every command of the README and the guides is understood by the command line.

They are parsed here, not done: `scripts/run_pages.py`, which `scripts/docs` calls, types them on short
recordings, one after the other.
"""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest

from audionmf import errors
from audionmf.cli import main_parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
if not PAGES[0].exists():
    pytest.skip("the pages are not with the package", allow_module_level=True)


def commands_of(text):
    """Yield the audionmf commands of indented and fenced blocks, with lines that go on joined."""
    fenced = "\n".join(re.findall(r"^```(?:sh|bash|console|shell)?\n(.*?)^```", text, re.M | re.S))
    indented = "\n".join(line for line in text.splitlines() if line.startswith("    "))
    for line in re.sub(r"\\\n\s*", " ", f"{fenced}\n{indented}").splitlines():
        bare = line.strip().removeprefix("$ ")
        for part in re.split(r"\s\|\s|\s&&\s|\s;\s", bare):
            if re.match(r"audionmf [a-z-]", part.strip()):  # and no figures beside the name
                asked = re.split(r"\s>\s", part.strip().replace("…", ""))[0]
                yield shlex.split(asked, comments=True)[1:]


DOCUMENTED = [
    (page.name, words) for page in PAGES for words in commands_of(page.read_text("utf-8"))
]
HELPS = [
    (f"{name} --help-all", words)
    for name, parser in main_parser().commands.choices.items()
    for words in commands_of(re.sub(r"^  (?=audionmf)", "    ", parser.epilog, flags=re.M))
]


def test_there_are_commands_to_check():
    assert len(DOCUMENTED) > 40
    pages = {name for name, _ in DOCUMENTED}
    assert {"README.md", "shell.md", "one-file.md", "cluster.md", "drum-loop.md"} <= pages
    assert len(HELPS) > 40


def test_every_command_of_the_readme_and_the_guides_is_one_that_is_run():
    found = importlib.util.spec_from_file_location("run_pages", ROOT / "scripts" / "run_pages.py")
    assert found is not None
    run_pages = importlib.util.module_from_spec(found)
    sys.modules["run_pages"] = run_pages  # dataclasses look there
    found.loader.exec_module(run_pages)
    guides = {ROOT / "README.md", ROOT / "docs" / "start.md", *(ROOT / "docs" / "guides").iterdir()}
    assert set(run_pages.TASKS) == guides
    for page in PAGES:
        typed = [line.words for line in run_pages.lines_of(page)]
        written = list(commands_of(page.read_text("utf-8")))
        assert sorted(map(repr, typed)) == sorted(map(repr, written)), page


@pytest.mark.parametrize(("where", "words"), [*DOCUMENTED, *HELPS])
def test_a_documented_command_is_understood(capsys, where, words):
    words = [word for word in words if word not in ("[options]", "...")]
    code = 0
    try:
        main_parser().parse_args(words)
    except SystemExit as stop:  # a help, a version, or an error
        code = stop.code
    assert code == 0, f"{where}: {shlex.join(words)}: {capsys.readouterr().err}"


def test_the_readme_is_a_screen_and_a_half():
    assert len(PAGES[0].read_text("utf-8").splitlines()) <= 100


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_links_to_is_there(page):
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text("utf-8"))
    made = {"examples/index", "api.rst"}  # by scripts/docs
    assert [link for link in links if link not in made and not (page.parent / link).exists()] == []


def test_the_readme_links_to_every_page_and_the_index_lists_them():
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES[1:]} - {"index.md"}
    linked = re.findall(r"\]\(docs/([^)]*\.md)\)", PAGES[0].read_text("utf-8"))
    assert pages - set(linked) == {"progress.md"}  # is for programs; shell.md leads there
    listed = re.findall(r"^([a-z-]+)$", (ROOT / "docs" / "index.md").read_text("utf-8"), re.M)
    assert {page for page in pages if "/" not in page} <= {f"{name}.md" for name in listed}


def codes_of_the_page():
    """Return the exceptions that docs/reliability.md names, by their code."""
    text = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| [^|]* \| ([^|]*)\|$", text, re.M)
    return {int(code): set(re.findall(r"`(\w+)`", names)) for code, names in rows}


def test_the_exit_codes_of_the_page_are_those_of_the_code_and_of_the_help():
    page = codes_of_the_page()
    for name in errors.__all__:
        if name not in ("exit_code", "AudioNMFError"):
            assert name in page[getattr(errors, name).exit_code], name
    for error in (FileNotFoundError(), MemoryError(), KeyboardInterrupt(), BrokenPipeError()):
        assert type(error).__name__ in page[errors.exit_code(error)]
    told = main_parser().format_help().split("exit codes:")[1]
    assert {int(code) for code in re.findall(r"(?:^|\s)(\d+) [a-z]", told)} == set(page)


def test_the_tree_in_the_docstring_has_the_exit_codes_of_the_code():
    rows = re.findall(r"(\w+(?:Error|Warning))\b[^\n]*? {2,}(\d+)(?: |$)", errors.__doc__, re.M)
    public = set(errors.__all__) - {"exit_code"}
    assert {name for name, _ in rows} == public
    assert all(getattr(errors, name).exit_code == int(code) for name, code in rows)
