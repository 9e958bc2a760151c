"""Completion: what a shell needs to know to complete commands, options and their values."""

from __future__ import annotations

import argparse
import dataclasses
import re
import shlex
from collections.abc import Iterator
from functools import partial
from typing import Any

from audionmf.cli.common import Parser, command, show_lines
from audionmf.errors import ParameterError
from audionmf.settings import QUALITIES, Settings

__all__ = ["add", "script"]

_TEXT = """\
Print what makes a shell complete the commands, options and values of audionmf when Tab is pressed.

Where nothing else is known, file names are completed. The text is made from the options that this
version has: make it again after an update.
"""

_EXAMPLES = """\
examples:
  source <(audionmf completion bash)
      for this shell; put the line into ~/.bashrc to have it in all
  audionmf completion zsh > ~/.zfunc/_audionmf
      with fpath+=~/.zfunc before compinit in ~/.zshrc
  audionmf completion fish > ~/.config/fish/completions/audionmf.fish
"""

_NAMED_VALUES = {
    "--quality": tuple(QUALITIES),
    "--export": ("midi", "labels", "csv", "events", "raven"),
    "--scheduler": ("local",),
    "--tempo": ("auto",),
}
"""Values that an option takes among others, which neither the parser nor its rule lists."""


@dataclasses.dataclass(frozen=True)
class _Option:
    """An option as a shell sees it: names, whether a value follows, which ones, files too, a word.

    In a value such as NAME=FILE the file is `behind_name`.
    """

    names: tuple[str, ...]
    takes_value: bool
    values: tuple[str, ...]
    files: bool
    text: str
    behind_name: bool


def script(commands: Any, shell: str) -> str:
    """Return the text for a shell.

    Parameters
    ----------
    commands : argparse action
        What `add_subparsers` returned, with all commands in it.
    shell : {"bash", "zsh", "fish"}
        The shell.

    Raises
    ------
    ParameterError
        If it is another one.
    """
    writers = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    if shell not in writers:
        raise ParameterError(f"there is completion for {', '.join(writers)}, not {shell!r}")
    texts = {action.dest: action.help or "" for action in commands._choices_actions}
    known = {name: (texts[name], list(_options(p))) for name, p in commands.choices.items()}
    return "\n".join(writers[shell](known))


_Known = dict[str, tuple[str, list[_Option]]]


def _options(parser: Parser) -> Iterator[_Option]:
    rules = {field.name: field.metadata["rule"] for field in dataclasses.fields(Settings)}
    for action in parser._actions:
        named = _NAMED_VALUES.get(action.option_strings[-1] if action.option_strings else "", ())
        named = named or tuple(re.findall(r"'([a-z]+)'", rules.get(action.dest, "")))
        values = tuple(map(str, action.choices)) if action.choices else named
        yield _Option(
            tuple(action.option_strings),
            action.nargs != 0,
            values,
            any(word in str(action.metavar) for word in ("FILE", "FOLDER", "PATH")),
            (action.help or "").replace("%(default)s", str(action.default)).partition(";")[0],
            "=FILE" in str(action.metavar),
        )


def _positional_values(options: list[_Option]) -> tuple[str, ...]:
    return next((option.values for option in options if not option.names), ())


def _bash(known: _Known) -> Iterator[str]:
    yield from (
        "# completion of audionmf for bash",
        "_audionmf() {",
        '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"',
        '    local command="${COMP_WORDS[1]}" words="" values=""',
        "    COMPREPLY=()",
        '    if [ "$before" = "=" ]; then before="${COMP_WORDS[COMP_CWORD-2]}"; fi',
        '    if [ "$word" = "=" ]; then word=""; fi',
        '    if [ "$COMP_CWORD" -eq 1 ]; then',
        f"        words={shlex.quote(' '.join([*known, '--help', '--help-all', '--version']))}",
        '        COMPREPLY=($(compgen -W "$words" -- "$word"))',
        "        return",
        "    fi",
        '    case "$command" in',
    )
    for name, (_, options) in known.items():
        names = [text for option in options for text in option.names]
        yield f"        {name})"
        yield f"            words={shlex.quote(' '.join(names))}"
        if values := _positional_values(options):
            yield f"            values={shlex.quote(' '.join(values))}"
        yield '            case "$before" in'
        for option in options:
            if option.names and option.values:
                yield f"                {'|'.join(option.names)})"
                yield f"                    values={shlex.quote(' '.join(option.values))} ;;"
            elif option.names and option.takes_value and not option.files:
                yield f"                {'|'.join(option.names)}) return ;;"
        yield "            esac ;;"
    yield from (
        "    esac",
        '    if [ "${word:0:1}" = "-" ]; then',
        '        COMPREPLY=($(compgen -W "$words" -- "$word"))',
        '    elif [ -n "$values" ]; then',
        '        COMPREPLY=($(compgen -W "$values" -- "$word"))',
        "    fi",
        "}",
        "complete -o default -o filenames -F _audionmf audionmf",
    )


def _zsh(known: _Known) -> Iterator[str]:
    yield "#compdef audionmf"
    yield "_audionmf() {"
    yield "    local -a commands"
    yield "    commands=("
    for name, (text, _) in known.items():
        yield f"        {shlex.quote(f'{name}:{text}')}"
    yield from (
        "    )",
        "    if (( CURRENT == 2 )); then",
        "        _describe command commands",
        "        return",
        "    fi",
        '    case "${words[2]}" in',
    )
    for name, (_, options) in known.items():
        yield f"        {name})"
        yield "            shift words; (( CURRENT-- ))"
        yield "            _arguments \\"
        for option in options:
            for text in option.names:
                yield f"                {shlex.quote(_zsh_option(option, text))} \\"
        values = " ".join(_positional_values(options))
        yield f"                {shlex.quote(f'*:value:({values})' if values else '*:file:_files')} ;;"
    yield "    esac"
    yield "}"
    yield 'if [ "$funcstack[1]" = "_audionmf" ]; then _audionmf "$@"'
    yield "else compdef _audionmf audionmf; fi"


def _zsh_option(option: _Option, name: str) -> str:
    text = option.text.replace("[", "(").replace("]", ")").replace(":", "\\:")
    if not option.takes_value:
        return f"*{name}[{text}]"
    files = '{compset -P "*="; _files}' if option.behind_name else "_files"
    what = f"({' '.join(option.values)})" if option.values else files if option.files else " "
    return f"*{name}[{text}]:value:{what}"


def _fish(known: _Known) -> Iterator[str]:
    yield "# completion of audionmf for fish"
    for name, (text, _) in known.items():
        yield f"complete -c audionmf -f -n __fish_use_subcommand -a {name} -d {_fish_quoted(text)}"
    for name, (_, options) in known.items():
        start = f"complete -c audionmf -n '__fish_seen_subcommand_from {name}'"
        for option in options:
            values = f" -a {_fish_quoted(' '.join(option.values))}" if option.values else ""
            if not option.names:
                if values:
                    yield f"{start} -f{values}"
                continue
            names = "".join(
                f" -l {text[2:]}" if text.startswith("--") else f" -s {text[1:]}"
                for text in option.names
            )
            taken = "" if not option.takes_value else " -r" if option.files else " -x"
            yield f"{start}{names}{taken}{values} -d {_fish_quoted(option.text)}"


def _fish_quoted(text: str) -> str:
    """Quote for fish, in which a backslash means something between single quotes too."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _run(commands: Any, options: argparse.Namespace) -> int:
    show_lines(script(commands, options.shell))
    return 0


def add(commands: Any) -> None:
    """Add the command to the parser; what it prints covers the commands that are added later too."""
    parser = command(
        commands, "completion", "tab completion for bash, zsh or fish", _TEXT, _EXAMPLES,
        partial(_run, commands),
    )  # fmt: skip
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")
