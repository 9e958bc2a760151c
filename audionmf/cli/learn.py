"""Learn: recordings of a source become templates."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audionmf.cli.common import (
    Bar,
    add_inputs,
    add_settings,
    command,
    compile_ahead,
    print_json,
    settings_of,
    show,
    show_lines,
)
from audionmf.cli.scheduling import add_scheduler, tls_of
from audionmf.errors import ParameterError

if TYPE_CHECKING:
    from audionmf.batch.cluster import TLS
    from audionmf.nmf.choose import ComponentChoice
    from audionmf.sources.templates import Templates

__all__ = ["add"]

_TEXT = """\
Learn spectral templates of one source from recordings of it alone, and keep them in a file.

The recordings should cover the notes or sounds that the source will play; ten seconds go far.
The file remembers sample rate and STFT; it is used with: audionmf separate MIX --templates FILE
"""

_EXAMPLES = """\
examples:
  audionmf learn violin.wav -o violin.npz
  audionmf learn kicks/ -o kick.npz
      from all samples in a folder
  audionmf learn kit/ -o kit.npz
      a drum kit: each subfolder of samples a source, or each file, such as kick.wav and snare.wav
  audionmf learn take1.wav take2.wav -o blackbird.npz --name blackbird --n-components 20
  audionmf learn violin.wav --dictionary nmf --n-components auto
      as many as the sound needs, with the figures that say so
  audionmf learn corpus/*.flac -o violin.npz --scheduler tls://cluster:8786
      from every frame of hours of recordings, on the machines of a cluster
"""

_NOT_ON_A_CLUSTER = {
    "max_frames": "every frame counts",
    "example_frames": "templates are factorised",
}


def _run(options: argparse.Namespace) -> int:
    compile_ahead(options)
    from audionmf.analysis.learning import learn
    from audionmf.io.files import make_room, refuse_overwriting
    from audionmf.io.foreign import audio_in, is_folder

    if _is_kit(options):
        return _run_kit(options)
    first = Path(options.input[0])
    called = first.resolve().name if is_folder(first) else ""
    out = Path(options.output or f"{called or first.stem}.npz")
    if out.suffix.lower() != ".npz":
        raise ParameterError(f"templates are kept in a .npz file, not {str(out)!r}")
    tls = tls_of(options)
    options.name = options.name or called or None
    options.input = [
        file for path in options.input for file in (audio_in(path) if is_folder(path) else [path])
    ]
    refuse_overwriting([out], options.input)
    make_room([out])
    count: Any = "auto" if getattr(options, "n_components", None) == "auto" else None
    if count:
        del options.n_components
    bar = Bar(options)
    choices: list[ComponentChoice] = []
    with bar:
        if options.scheduler is not None:
            bank = _learn_on_cluster(options, count, tls, bar)
        else:
            bank = learn(
                list(options.input), options.name, count, settings=settings_of(options),
                progress=bar, chosen=choices.append,
            )  # fmt: skip
    bank.save(out)
    if options.json:
        found = _found(out, bank)
        for choice in choices:
            found["choice"] = dataclasses.asdict(choice)
        print_json(found)
        return 0
    show(str(out.absolute()))
    show(f"  {_contents(bank)}")
    for choice in choices:
        show_lines(choice.to_text())
    return 0


def _is_kit(options: argparse.Namespace) -> bool:
    """Tell whether the input is a kit: it is said to be, or it looks like one and has no name."""
    from audionmf.io.foreign import audio_in, is_folder
    from audionmf.notes.drums import drum_key
    from audionmf.sources.kits import has_subfolders

    folder = options.input[0]
    if options.kit:
        if len(options.input) > 1 or options.name or options.scheduler is not None:
            raise ParameterError("a kit is one folder; leave out --name and --scheduler")
        return True
    alone = len(options.input) == 1 and not options.name and options.scheduler is None
    if not alone or not is_folder(folder):
        return False
    if has_subfolders(folder):
        return True
    keys = {drum_key(Path(file).stem) for file in audio_in(folder)} - {None}
    return len(keys) > 1


def _run_kit(options: argparse.Namespace) -> int:
    from audionmf.analysis.learning import learn_kit
    from audionmf.io.files import make_room, refuse_overwriting
    from audionmf.sources.kits import kit_files

    if getattr(options, "n_components", None) == "auto":
        raise ParameterError("with a kit, --n-components takes a number")
    folder = Path(options.input[0])
    out = Path(options.output or f"{folder.resolve().name}.npz")
    if out.suffix.lower() != ".npz":
        raise ParameterError(f"templates are kept in a .npz file, not {str(out)!r}")
    files = kit_files(folder)
    refuse_overwriting([out], [file for each in files.values() for file in each])
    make_room([out])
    with Bar(options) as bar:
        bank = learn_kit(files, settings=settings_of(options), progress=bar)
    bank.save(out)
    if options.json:
        print_json(_found(out, bank))
        return 0
    show(str(out.absolute()))
    for name in bank.names:
        show(f"  {_contents(bank.only(name))}")
    if not options.kit:
        show("  each subfolder or file is a source of its own; --name NAME makes one of all")
    return 0


def _found(out: Path, bank: Templates) -> dict[str, Any]:
    return {
        "templates": str(out.absolute()),
        "n_components": bank.n_components,
        "labels": list(bank.names),
        "sample_rate": bank.sample_rate,
    }


def _contents(bank: Templates) -> str:
    """Return what a bank of one source holds, in words."""
    from audionmf.io.files import counted

    struck = (
        "" if bank.patterns is None else f" and {counted(len(bank.patterns.labels), 'pattern')}"
    )
    return f"{counted(bank.n_components, 'template')}{struck} of {bank.names[0]!r}"


def _learn_on_cluster(
    options: argparse.Namespace, count: str | None, tls: TLS | None, bar: Bar
) -> Templates:
    from audionmf.batch.cluster import connect
    from audionmf.batch.cluster_learning import learn

    if count == "auto":
        raise ParameterError("on a cluster, --n-components takes a number")
    if getattr(options, "dictionary", "nmf") != "nmf":
        raise ParameterError(
            "on a cluster, templates are factorised; give --dictionary nmf, or leave it out"
        )
    for name, reason in _NOT_ON_A_CLUSTER.items():
        if hasattr(options, name):
            option = f"--{name.replace('_', '-')}"
            raise ParameterError(f"{option} means nothing on a cluster, where {reason}")
    settings = settings_of(options)
    with connect(options.scheduler, tls=tls) as client:
        return learn(
            list(options.input), options.name, client=client, settings=settings, progress=bar
        )


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "learn", "learn the templates of a source", _TEXT, _EXAMPLES, _run,
        most_used=("--output", "--name", "--n-components", "--dictionary"),
    )  # fmt: skip
    add_inputs(parser, "recordings of the source alone, or folders of them")
    parser.add_argument(
        "-o", "--output", metavar="FILE.npz", help="where to keep them (default: INPUT's name)"
    )
    parser.add_argument("--name", help="name of the source (default: INPUT's name)")
    parser.add_argument(
        "--kit",
        action="store_true",
        help="INPUT is a folder of a drum kit: each subfolder is a source, and each file in none "
        "(default: if it has subfolders, or files called like several drums)",
    )
    add_settings(parser, "learn")
    add_scheduler(parser, "learn NMF templates from every frame of all recordings")
