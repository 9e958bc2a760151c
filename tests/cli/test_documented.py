"""Every command of the README and the guides is understood by the command line.

They are parsed, not done: what is asked for, and that every file and option is where it belongs, is
checked; what commands do is tested elsewhere, by command.
"""

import re
import shlex
from pathlib import Path

import pytest

from audionmf.cli import main_parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
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
    assert {"README.md", "one-file.md", "cluster.md"} <= {name for name, _ in DOCUMENTED}
    assert len(HELPS) > 40


@pytest.mark.parametrize(("where", "words"), [*DOCUMENTED, *HELPS])
def test_a_documented_command_is_understood(capsys, where, words):
    words = [word for word in words if word not in ("[options]", "...")]
    code = 0
    try:
        main_parser().parse_args(words)
    except SystemExit as stop:  # a help, a version, or an error
        code = stop.code
    assert code == 0, f"{where}: {shlex.join(words)}: {capsys.readouterr().err}"
