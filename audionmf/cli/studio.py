"""Studio: a local page."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from audionmf.cli.common import command, compile_ahead, print_json, show_lines, writing

__all__ = ["add"]

_TEXT = """\
Open the studio: a page in the browser to hear what a factorisation found, to group components into
sources, to mark what belongs where, and to export stems.

The page is served to this machine alone, by an address with a secret in it, and loads nothing from
elsewhere. End it with Ctrl-C. What you work on is kept in your state folder from second to second,
and offered the next time; the page forgets it when you say so.
Needs: pip install audionmf[studio]
"""

_EXAMPLES = """\
examples:
  audionmf studio mix.wav
  audionmf studio mix.wav violin.wav piano.wav
      more recordings to pick on the page, as examples say
  audionmf studio mix.wav band.npz mix.mid
      templates and the score, to say what the sources are
  audionmf studio mix.audionmf
      go on with a project that was saved on the page; a model of decompose is opened likewise
  audionmf studio --no-browser --port 8765
      print the address only
"""

_MEGABYTE = 1 << 20


def _run(options: argparse.Namespace) -> int:
    compile_ahead(options)  # while the page is opened and a recording is picked
    from audionmf.studio import serve

    def announce(address: str) -> None:
        if options.json:
            print_json({"address": address})
        else:
            show_lines(f"the studio is at\n  {address}\nend it with Ctrl-C")
        with writing():
            sys.stdout.flush()

    serve(
        options.input,
        port=options.port,
        max_upload=options.max_upload * _MEGABYTE,
        open_browser=options.browser,
        keep=options.keep,
        announce=announce,
    )
    return 0


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands,
        "studio",
        "hear, group, refine and export on a local page",
        _TEXT,
        _EXAMPLES,
        _run,
    )
    parser.add_argument(
        "input",
        nargs="*",
        metavar="FILE",
        help="recordings to open or to pick from, banks (.npz) and scores (.mid) of their "
        "sources; or a project or a model",
    )
    page = parser.add_argument_group("page")
    page.add_argument(
        "--port", type=int, default=0, metavar="N", help="port of 127.0.0.1 (default: any free one)"
    )
    page.add_argument(
        "--browser",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="open the page in the browser (default: on)",
    )
    page.add_argument(
        "--keep",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep what you work on in ~/.local/state/audionmf/studio (or $XDG_STATE_HOME), 2 GiB at "
        "most, and offer it the next time (default: on)",
    )
    page.add_argument(
        "--max-upload",
        type=int,
        default=1024,
        metavar="MB",
        help="largest recording that can be dropped on the page (default: %(default)s)",
    )
