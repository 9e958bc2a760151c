"""The parser: it guesses what was meant, expands ``~``, and has a help of one screen a command."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from audionmf.cli.briefly import brief
from audionmf.cli.printing import printable, writing
from audionmf.cli.progress import add_progress

__all__ = ["NamedFlag", "Parser", "add_help", "command", "nearest"]

_OTHER_WORDS = {
    "split": "separate", "demix": "separate", "unmix": "separate", "isolate": "separate",
    "train": "learn", "extract": "learn", "karaoke": "remix", "mix": "remix",
    "transcribe": "notes", "midi": "notes", "factorise": "decompose", "factorize": "decompose",
    "components": "decompose", "group": "regroup", "score": "evaluate", "compare": "evaluate",
    "describe": "info", "show": "info", "inspect": "info", "gui": "studio", "page": "studio",
    "live": "stream", "repeat": "rerun", "reproduce": "rerun", "clean": "denoise",
    "--stems": "--n-sources", "--sources": "--n-sources", "--two-stems": "--only",
    "--vocals": "--lead", "--voice": "--lead", "--singer": "--lead", "--score": "--midi",
    "--threads": "--n-threads", "--workers": "--jobs", "--components": "--n-components",
    "--output": "--out", "--out": "--output", "--output-dir": "--out", "--length": "--duration",
    "--reference": "--example", "--model": "--templates", "--bank": "--templates",
    "--silent": "--quiet", "--type": "--format", "--codec": "--format", "--parallel": "--jobs",
    "--gpu": "--device", "--cuda": "--device",
}  # fmt: skip
"""What other programs call the same thing."""

_FOR_KINDS = {
    ".npz": "info", ".json": "rerun",
    ".mid": "separate RECORDING --midi", ".midi": "separate RECORDING --midi",
}  # fmt: skip
"""What is done with files that are no recordings."""
_PLAIN_WORDS = (
    (r"^the following arguments are required: (.*)", r"missing: \1"),
    (r"^argument ([^:]*): invalid int value: ", r"\1: a whole number, not "),
    (r"^argument ([^:]*): invalid float value: ", r"\1: a number, not "),
    (r"^argument ", ""),
)
"""What the standard library says, as people say it."""
_WIDTH = 80
_GENERAL = "general"
_BEGUN = 3
"""Letters that tell what a word begins like."""


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Return the choice that was probably meant; None if none is near.

    Options are compared without their dashes, which all have, and must be nearer: one of eighty is
    always somewhat alike. One that begins like the word, or the word like it, is near, too.
    """
    import difflib

    known = list(choices)
    if _OTHER_WORDS.get(word) in known:
        return _OTHER_WORDS[word]
    option, wanted = word.startswith("--"), word.lstrip("-").casefold()
    folded = {choice.lstrip("-").casefold(): choice for choice in reversed(known)}
    found = difflib.get_close_matches(wanted, folded, n=1, cutoff=0.7 if option else 0.6)
    if option and not found:
        begun = [name for name in folded if min(len(name), len(wanted)) >= _BEGUN]
        begun = [name for name in begun if name.startswith(wanted) or wanted.startswith(name)]
        found = difflib.get_close_matches(wanted, begun, n=1, cutoff=0)
    return folded[found[0]] if found else None


class NamedFlag(argparse.Action):
    """A flag that may be given a name: ``--lead``, or ``--lead=NAME``; never ``--lead NAME``."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs="?", default=False, **options)

    def __call__(self, _: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        """Keep the name, or that there is none."""
        setattr(namespace, self.dest, values or True)


class Parser(argparse.ArgumentParser):
    """Keeps line breaks in texts, and takes no abbreviated options: they break when options come."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", _Formatter)
        super().__init__(allow_abbrev=False, add_help=False, **options)
        self._positionals.title, self._optionals.title = "input", "options"
        self.most_used: tuple[str, ...] = ()
        """The options that the short help shows; without any it shows all."""
        self.commands: Any = None
        """What `add_subparsers` gave, of a parser that has commands."""
        self.short_epilog: str | None = None
        """What the short help ends with."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; what is left over is an error of the command, which names what was meant."""
        options, left = self.parse_known_args(args, namespace)
        if left:
            parser = getattr(options, "parser", self)
            if left[0][:1] == "-" and left[0] != "-":
                parser.error(parser._no_option(left[0]))
            parser.error(f"there is no place for {' '.join(map(repr, left))}")
        return options

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse an option that there is not before anything is said of what is missing."""
        given = list(sys.argv[1:] if args is None else args)
        for i, text in enumerate(given):
            if text == "--" or (self._subparsers is not None and text[:1] != "-"):
                break
            if isinstance(self._option_string_actions.get(text), NamedFlag):
                given[i] = f"{text}="  # else it would take the next argument for its value
            name = text.partition("=")[0]
            if name[:2] == "--" and " " not in text and name not in self._option_string_actions:
                self.error(self._no_option(name))
        return super().parse_known_args(given, namespace)

    def error(self, message: str) -> NoReturn:
        """Print one line and the way to the help."""
        if self.commands is not None and message.endswith("required: COMMAND"):
            message = "a command is missing, such as: audionmf separate mix.wav"
        for pattern, words in _PLAIN_WORDS:
            message = re.sub(pattern, words, message)
        then = " See" if message.endswith("?") else "; see"
        line = " ".join(f"{self.prog}: error: {message}{then} {self.prog} --help".splitlines())
        self.exit(2, printable(line) + "\n")

    def format_help(self) -> str:
        """Return the short help: what is used most, on one screen."""
        formatter = self._get_formatter()
        formatter.add_usage(self._usage_line(), [], [])
        formatter.add_text(_opening(self.description or ""))
        single: list[argparse.Action] = []
        for group in self._ordered_groups():
            shown = [brief(action) for action in group._group_actions if self._is_shown(action)]
            if len(shown) == 1 and shown[0].option_strings:
                single += shown
                continue
            _add_section(formatter, group.title, shown)
        _add_section(formatter, "and", single)
        formatter.add_text(self.short_epilog or self.epilog)
        if hidden := self._n_hidden():
            formatter.add_text(f"{hidden} more options, and examples: {self.prog} --help-all")
        return formatter.format_help()

    def format_full_help(self) -> str:
        """Return the help with all options and examples."""
        formatter = self._get_formatter()
        formatter.add_usage(self._usage_line(), [], [])
        formatter.add_text(self.description)
        for group in self._ordered_groups():
            _add_section(formatter, group.title, group._group_actions)
        formatter.add_text(self.epilog)
        return formatter.format_help()

    def format_usage(self) -> str:
        """Return one line: every option in it would be a screen of its own."""
        formatter = self._get_formatter()
        formatter.add_usage(self._usage_line(), [], [])
        return formatter.format_help()

    def _usage_line(self) -> str:
        parts = ["%(prog)s"]
        inputs = [action for action in self._actions if not action.option_strings]
        needed = [action for action in self._actions if action.option_strings and action.required]
        parts += [f"{action.option_strings[0]} {action.metavar}" for action in needed]
        for action in inputs:
            name = str(action.metavar or action.dest)
            parts.append({"+": f"{name} ...", "*": f"[{name} ...]"}.get(str(action.nargs), name))
        return " ".join([*parts, "[options]"])

    def _ordered_groups(self) -> list[Any]:
        """Return inputs first, then what says something about them, what all commands have last."""
        return sorted(self._action_groups, key=lambda group: group.title == _GENERAL)

    def _is_shown(self, action: argparse.Action) -> bool:
        names = action.option_strings
        return not (names and self.most_used) or any(name in self.most_used for name in names)

    def _n_hidden(self) -> int:
        return sum(not self._is_shown(action) for action in self._actions)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print a text; argparse would pass over that its reader is gone."""
        with writing() if file is sys.stdout else contextlib.suppress(OSError):
            (file or sys.stderr).write(message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse what is no choice, and name the one that was meant."""
        if action.choices is None or value in action.choices:
            return
        choices = list(map(str, action.choices))
        if isinstance(action, argparse._SubParsersAction):
            self.error(_no_command(str(value), choices))
        meant = nearest(str(value), choices)
        hint = f"; did you mean {meant!r}?" if meant else ""
        raise argparse.ArgumentError(
            action, f"{str(value)!r} is none of {', '.join(choices)}{hint}"
        )

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """Expand ``~``, which shells leave alone in ``--out=~/x`` and ``NAME=~/x``."""
        what = str(action.metavar)
        if action.option_strings and ("FILE" in what or "FOLDER" in what):
            arg_strings = [_at_home(text, named=what.startswith("NAME=")) for text in arg_strings]
        return super()._get_values(action, arg_strings)

    def _no_option(self, name: str) -> str:
        meant = nearest(name, self._option_string_actions)
        if name == "-n":  # of `separate`: its number of sources
            meant = nearest("--components", self._option_string_actions)
        hint = f"; did you mean {meant}?" if meant else ""
        return f"there is no option {name}{hint}"


def _add_section(
    formatter: argparse.HelpFormatter, title: str | None, actions: Sequence[argparse.Action]
) -> None:
    formatter.start_section(title)
    formatter.add_arguments(actions)
    formatter.end_section()


def _opening(description: str) -> str:
    """Return the first paragraph of a text, and the list that it may announce."""
    first, _, others = description.partition("\n\n")
    return f"{first}\n\n{others.partition(chr(10) * 2)[0]}" if first.endswith(":") else first


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Lines of one width, whatever the terminal's, and not longer than it."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, max_help_position=26, width=_WIDTH, **options)
        self._action_max_length = 14  # names of commands are indented further than it reckons

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Fill paragraphs; lines that are indented, and what follows a colon, stay as they are."""
        filled: list[str] = []
        for paragraph in text.split("\n\n"):
            lines = paragraph.strip("\n").splitlines()
            if any(line.startswith(" ") for line in lines):
                filled.append("\n".join(indent + line for line in lines))
            else:
                filled.append(textwrap.fill(" ".join(lines), width, break_on_hyphens=False))
        return "\n\n".join(filled)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """Name a value once, for all names of an option."""
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        if isinstance(action, NamedFlag):
            return f"{', '.join(action.option_strings)}[={action.metavar}]"
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"


def add_help(group: Any) -> None:
    """Add the options that show the short help and the full one."""
    group.add_argument("-h", "--help", action="help", help="show this short help, and exit")
    group.add_argument(
        "--help-all", action=_HelpAll, nargs=0, default=argparse.SUPPRESS,
        help="show all options and examples, and exit",
    )  # fmt: skip


class _HelpAll(argparse.Action):
    def __call__(self, parser: Any, *_: Any, **__: Any) -> NoReturn:
        parser._print_message(parser.format_full_help(), sys.stdout)
        raise SystemExit(0)


def _no_command(value: str, commands: Sequence[str]) -> str:
    meant = nearest(value, commands)
    if os.path.lexists(value) or _is_sound(value):
        import shlex

        suffix, quoted = Path(value).suffix.lower(), shlex.quote(value)
        asked = _FOR_KINDS.get(suffix, "separate")
        return f"{value!r} is a file, and a command comes first: audionmf {asked} {quoted}"
    hint = f"did you mean {meant!r}?" if meant else f"they are {', '.join(commands)}"
    return f"there is no command {value!r}; {hint}"


def _is_sound(name: str) -> bool:
    from audionmf.io.foreign import is_audio_name

    return is_audio_name(name)


def _at_home(text: str, *, named: bool) -> str:
    if named:
        name, equals, path = text.partition("=")
        return name + equals + str(os.path.expanduser(path))  # noqa: PTH111 (any name, or no home)
    return str(os.path.expanduser(text))  # noqa: PTH111


def command(
    commands: Any,
    name: str,
    summary: str,
    text: str,
    examples: str,
    run: Callable[[argparse.Namespace], int],
    most_used: Sequence[str] = (),
    first_examples: int = 4,
) -> Parser:
    """Add a command with the options that all have.

    The short help shows the options in `most_used` (default: all) and the first few examples.
    """
    parser: Parser = commands.add_parser(name, help=summary, description=text, epilog=examples)
    parser.set_defaults(run=run, parser=parser)
    parser.most_used = tuple(most_used)
    parser.short_epilog = _first(examples, first_examples)
    general = parser.add_argument_group(_GENERAL)
    add_help(general)
    general.add_argument("--json", action="store_true", help="print results as JSON, a line each")
    add_progress(general)
    general.add_argument("--strict", action="store_true", help="treat warnings as errors")
    general.add_argument("--debug", action="store_true", help="show where an error came from")
    return parser


def _first(examples: str, count: int) -> str:
    """Return the heading and the first few examples, with the lines that go on from them."""
    lines, seen = [], 0
    for line in examples.splitlines():
        seen += line.startswith("  audionmf ")
        if seen > count:
            break
        lines.append(line)
    return "\n".join(lines)
