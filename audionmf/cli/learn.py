"""Learn: recordings of a source become templates."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audionmf.cli.common import Bar, add_settings, command, print_json, printable, settings_of
from audionmf.errors import ParameterError

if TYPE_CHECKING:
    from audionmf.nmf.choose import ComponentChoice

__all__ = ["add"]

_TEXT = """\
Learn spectral templates of one source from recordings of it alone, and keep them in a file.

The recordings should cover the notes or sounds that the source will play; ten seconds go far.
The file remembers sample rate and STFT; it is used with: audionmf separate MIX --templates FILE
"""

_EXAMPLES = """\
examples:
  audionmf learn violin.wav -o violin.npz
  audionmf learn take1.wav take2.wav -o blackbird.npz --name blackbird --n-components 20
  audionmf learn violin.wav --dictionary nmf --n-components auto
      as many as the sound needs, with the figures that say so
"""


def _run(options: argparse.Namespace) -> int:
    from audionmf.analysis import learn
    from audionmf.files import make_room, refuse_overwriting

    out = Path(options.output or f"{Path(options.input[0]).stem}.npz")
    if out.suffix.lower() != ".npz":
        raise ParameterError(f"templates are kept in a .npz file, not {str(out)!r}")
    refuse_overwriting([out], options.input)
    make_room([out])
    count: Any = "auto" if getattr(options, "n_components", None) == "auto" else None
    if count:
        del options.n_components
    bar = Bar()
    choices: list[ComponentChoice] = []
    try:
        bank = learn(
            list(options.input), options.name, count, settings=settings_of(options),
            progress=bar, chosen=choices.append,
        )  # fmt: skip
    finally:
        bar.clear()
    bank.save(out)
    if options.json:
        found: dict[str, Any] = {
            "templates": str(out.absolute()),
            "n_components": bank.n_components,
            "labels": list(bank.names),
            "sample_rate": bank.sample_rate,
        }
        for choice in choices:
            found["choice"] = dataclasses.asdict(choice)
        print_json(found)
        return 0
    print(printable(f"{out.absolute()}\n  {bank.n_components} templates of {bank.names[0]!r}"))
    for choice in choices:
        print(choice.to_text())
    return 0


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(commands, "learn", "learn the templates of a source", _TEXT, _EXAMPLES, _run)
    parser.add_argument("input", nargs="+", metavar="INPUT", help="recordings of the source alone")
    parser.add_argument(
        "-o", "--output", metavar="FILE.npz", help="where to keep them (default: INPUT's name)"
    )
    parser.add_argument("--name", help="name of the source (default: INPUT's name)")
    add_settings(parser, "learn")
