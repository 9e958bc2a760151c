"""The command line: parse, make `Settings`, one call, print. It has no logic of its own.

Results go to standard output, everything else to standard error. Nothing heavy is imported before
the arguments are understood, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from audionmf import __version__
from audionmf.errors import AudioNMFError, AudioNMFWarning, ParameterError, exit_code
from audionmf.settings import QUALITIES, Settings

if TYPE_CHECKING:
    from audionmf.nmf.choose import ComponentChoice

__all__ = ["main"]

_TERMINATED = 143
_INTERRUPTED = 130

_MAIN_EXAMPLES = """\
examples:
  audionmf separate mix.wav --n-sources 3
      three sources, found without being told what they are
  audionmf separate mix.wav --example violin=violin.wav --example piano=piano.wav
      you have seconds of each instrument alone
  audionmf learn violin.wav -o violin.npz
  audionmf separate mix.wav --templates violin.npz piano.npz
      the same, with templates that you keep
  audionmf decompose mix.wav --n-components 16
  audionmf regroup decomposed/mix/model.npz --group bass=0,3,7 --group keys=1,2
      look at the components, then group them by hand

exit codes:
  0 done      1 some of several inputs failed, or an unexpected error
  2 a wrong option      3 input that cannot be read or worked on
  4 output that cannot be written      5 a template or model file refused
  6 over a limit      130 interrupted
"""

_SEPARATE_TEXT = """\
Take a recording apart into stems, which sum to it again.

Say what the sources are in one of four ways: how many there are (--n-sources; components are
grouped by timbre), templates learnt before (--templates), a recording of each alone (--example, a
few seconds are enough), or where each plays alone in the recording itself (--solo, --labels).
Stems land in OUT/TRACK/SOURCE.wav with the rate, channels, length and sample format of the input.
"""

_SEPARATE_EXAMPLES = """\
examples:
  audionmf separate mix.wav --n-sources 3
  audionmf separate mix.wav --example violin=violin.wav --example piano=a.wav --example piano=b.wav
  audionmf separate mix.wav --templates violin.npz --free 8
      the violin, and everything else as 'other'
  audionmf separate mix.wav --solo violin=0:12-0:20.5 --solo piano=31-40
      each instrument plays alone for some seconds in the recording itself
  audionmf separate mix.wav --labels mix.txt
      the same from an Audacity label file: 'violin' where it is alone, '!violin' where it is not
  audionmf separate *.flac --templates band.npz -o stems --filename '{source}/{track}.{ext}'
"""

_LEARN_TEXT = """\
Learn spectral templates of one source from recordings of it alone, and keep them in a file.

The recordings should cover the notes or sounds that the source will play; ten seconds go far.
The file remembers sample rate and STFT; it is used with: audionmf separate MIX --templates FILE
"""

_LEARN_EXAMPLES = """\
examples:
  audionmf learn violin.wav -o violin.npz
  audionmf learn take1.wav take2.wav -o blackbird.npz --name blackbird --n-components 20
  audionmf learn violin.wav --dictionary nmf --n-components auto
      as many as the sound needs, with the figures that say so
"""

_DECOMPOSE_TEXT = """\
Factorise a recording into components and write all that was found, in OUT/TRACK/:

  model.npz                        the model, for: audionmf regroup
  component00.wav, ...             each component as audio; they sum to the recording
  templates.csv, activations.csv   the factors W and H
  decomposition.png                a picture of them (needs matplotlib)
"""

_DECOMPOSE_EXAMPLES = """\
examples:
  audionmf decompose mix.wav
  audionmf decompose mix.wav --n-components 24 -o parts
"""

_REGROUP_TEXT = """\
Render the components of a model in groups of your own. Nothing is factorised again.

Components that are in no group become the source 'rest'. The recording has to be where it was
when the model was made, or be named with --mixture; another recording is refused.
"""

_REGROUP_EXAMPLES = """\
examples:
  audionmf regroup decomposed/mix/model.npz --group bass=0,3,7 --group keys=1,2
  audionmf regroup model.npz --group drums=4-9 --mixture /music/mix.wav -o grouped
"""

_EVALUATE_TEXT = """\
Score stems against the true ones, in dB: how clean (SI-SDR), how free of the others (SI-SIR), how
free of artefacts (SI-SAR), and how well their sum agrees.

Give two folders of audio files, or two files, of the same sample rate, channels and length. Files
of the same name, without the extension, are compared; where no name is on both sides, the
assignment with the largest sum of SI-SDR is taken. Silence has a score of -inf; what has no
counterpart is left out, also from what SI-SIR counts as the others.
"""

_EVALUATE_EXAMPLES = """\
examples:
  audionmf evaluate stems separated/mix
  audionmf evaluate stems separated/mix --match best
      the estimates have names of their own, such as source1.wav
  audionmf evaluate violin.wav separated/mix/violin.wav
  audionmf evaluate stems separated/mix --bss-eval --csv scores.csv
      SDR, SIR and SAR of BSS Eval too (needs fast-bss-eval), and a table for other programs
"""

_INFO_TEXT = """\
Explain an audio file, a template file or a model file in words.

Of templates it says what each sounds like: its pitch (none for noise), how bright it is (the centre
of its spectrum: dark below 400 Hz, warm below 1, clear below 2.5, bright below 5 kHz), how wide and
how flat its spectrum is, and for how long it rings at a time in the recording that it is from.
"""

_INFO_EXAMPLES = """\
examples:
  audionmf info violin.npz
  audionmf info violin.npz --all --picture violin.png
  audionmf info decomposed/mix/model.npz --json
"""


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM arrived."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; default: those of the process.

    Returns
    -------
    int
        The exit code.
    """
    try:
        try:
            options = _parser().parse_args(arguments)
        finally:
            sys.stdout.flush()  # a help text
    except BrokenPipeError as error:
        return _reader_gone(error)
    try:
        with _termination_raised(), _warnings_shown(strict=options.strict):
            code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError as error:
        return _reader_gone(error)
    except _TerminatedError:
        return _TERMINATED
    except KeyboardInterrupt:
        _say("interrupted; no file is left half-written")
        return _INTERRUPTED
    except Exception as error:
        return _fail(error, debug=options.debug)
    return code


def _reader_gone(error: BrokenPipeError) -> int:
    # The interpreter would flush standard output once more when it ends, and fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return exit_code(error)


def _terminate(*_: object) -> NoReturn:
    raise _TerminatedError


@contextlib.contextmanager
def _termination_raised() -> Iterator[None]:
    """Make SIGTERM an exception, so that what is half done is cleared away."""
    try:
        before = signal.signal(signal.SIGTERM, _terminate)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _fail(error: Exception, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    _say(f"error: {_message(error, debug=debug)}")
    return exit_code(error)


def _message(error: Exception, *, debug: bool) -> str:
    if isinstance(error, AudioNMFError | AudioNMFWarning):
        text = str(error)
    elif isinstance(error, FileNotFoundError):
        text = f"{os.fsdecode(error.filename)!r}: there is no such file; check the path"
    else:
        hint = "" if debug else "; run again with --debug and report it"
        text = f"unexpected {type(error).__name__}: {error}{hint}"
    return " ".join(text.splitlines())


def _say(text: str) -> None:
    print(f"audionmf: {_printable(text)}", file=sys.stderr)


def _printable(text: str) -> str:
    """Return text that any terminal encoding can show; names need not be valid in any."""
    encoding = sys.stdout.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


@contextlib.contextmanager
def _warnings_shown(*, strict: bool) -> Iterator[None]:
    """Print the package's warnings as one line each; with `strict` they are errors."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        _say(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "always", AudioNMFWarning)
        warnings.showwarning = show
        yield


class _Bar:
    """A progress line on standard error, at a terminal only."""

    _WIDTH = 28

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._last = ""

    def __call__(self, stage: str, done: float) -> None:
        if not self._shown:
            return
        filled = round(done * self._WIDTH)
        line = f"\r{stage[:24]:24s} [{'#' * filled}{'.' * (self._WIDTH - filled)}] {done:4.0%}"
        if line != self._last:
            sys.stderr.write(_printable(line))
            sys.stderr.flush()
            self._last = line

    def clear(self) -> None:
        if self._last:
            sys.stderr.write("\r" + " " * len(self._last) + "\r")
            self._last = ""


def _each(options: argparse.Namespace, inputs: list[str], work: Callable[[str], None]) -> int:
    """Do the work for each input; with several, one that fails does not stop the rest."""
    failed = 0
    for path in inputs:
        try:
            work(path)
        except (AudioNMFError, AudioNMFWarning, FileNotFoundError) as error:
            if len(inputs) == 1:
                raise
            _fail(error, debug=options.debug)
            failed += 1
    if failed:
        _say(f"{failed} of {len(inputs)} inputs failed")
    return 1 if failed else 0


def _separate(options: argparse.Namespace) -> int:
    from audionmf.exports import plan_stems, separate_file
    from audionmf.files import refuse_overwriting
    from audionmf.labels import collect
    from audionmf.templates import Templates

    settings = _settings(options)
    examples: dict[str, list[str]] = {}
    for name, path in options.example:
        examples.setdefault(name, []).append(path)
    solo, absent = collect(options.solo, options.labels)
    if (solo or absent) and len(options.input) > 1:
        raise ParameterError("--solo and --labels are about one recording; give one input")
    banks = [Templates.load(path) for path in options.templates]
    way: dict[str, Any] = {
        "n_sources": options.n_sources,
        "examples": examples,
        "free": options.free,
        "residual": options.residual,
        "only": options.only,
        "solo": solo,
        "pattern": options.filename,
        "extension": options.format,
    }
    planned: list[Path] = []
    for path in options.input:
        with contextlib.suppress(AudioNMFError, FileNotFoundError):  # told when its turn comes
            planned += plan_stems(path, options.out, templates=banks, **way).values()
    example_files = [path for paths in examples.values() for path in paths]
    label_files = [options.labels] if options.labels is not None else []
    inputs = [*options.input, *options.templates, *example_files, *label_files]
    refuse_overwriting(planned, inputs)
    _announce(options)
    bar = _Bar()

    def work(path: str) -> None:
        try:
            stems, found, trust = separate_file(
                path,
                options.out,
                templates=banks,
                absent=absent,
                convert=options.convert,
                settings=settings,
                progress=bar,
                **way,
            )
        finally:
            bar.clear()
        _report(
            options, path, stems,
            {"divergence": found.divergence.tolist(), "trust": trust.to_dict()},
        )  # fmt: skip
        if not options.json:
            print(_printable(trust.to_text()))

    return _each(options, options.input, work)


def _learn(options: argparse.Namespace) -> int:
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
    bar = _Bar()
    choices: list[ComponentChoice] = []
    try:
        bank = learn(
            list(options.input), options.name, count, settings=_settings(options),
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
        _print_json(found)
        return 0
    print(_printable(f"{out.absolute()}\n  {bank.n_components} templates of {bank.names[0]!r}"))
    for choice in choices:
        print(choice.to_text())
    return 0


def _decompose(options: argparse.Namespace) -> int:
    from audionmf.exports import decompose_file, plan_decomposition
    from audionmf.files import refuse_overwriting

    planned = [plan_decomposition(path, options.out).values() for path in options.input]
    refuse_overwriting([output for outputs in planned for output in outputs], options.input)
    _announce(options)
    bar = _Bar()

    def work(path: str) -> None:
        try:
            files = decompose_file(
                path,
                options.out,
                extension=options.format,
                settings=_settings(options),
                progress=bar,
            )
        finally:
            bar.clear()
        others = [files.model, files.templates, files.activations, files.picture]
        _report(
            options,
            path,
            files.stems,
            {"divergence": files.decomposition.divergence.tolist()},
            [other for other in others if other],
        )

    return _each(options, options.input, work)


def _regroup(options: argparse.Namespace) -> int:
    from audionmf.exports import regroup_file
    from audionmf.grouping import parse_groups

    groups = parse_groups(options.group)
    _announce(options)
    bar = _Bar()
    try:
        stems, regrouped, trust = regroup_file(
            options.model,
            groups,
            options.out,
            mixture=options.mixture,
            pattern=options.filename,
            extension=options.format,
            progress=bar,
        )
    finally:
        bar.clear()
    grouping = {name: list(group) for name, group in regrouped.grouping.items()}
    _report(options, options.model, stems, {"grouping": grouping, "trust": trust.to_dict()})
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from audionmf.files import make_room, refuse_overwriting
    from audionmf.reports import audio_files, evaluate_folders, to_csv, to_dict, to_text

    table = [Path(options.csv).absolute()] if options.csv else []
    inputs = [*audio_files(options.references), *audio_files(options.estimates)]
    refuse_overwriting(table, inputs)
    make_room(table)
    report = evaluate_folders(
        options.references, options.estimates, options.match, options.bss_eval
    )
    files = [str(to_csv(report, path)) for path in table]
    if options.json:
        _print_json({**to_dict(report), "files": files})
    else:
        print(_printable("\n".join([to_text(report), *files])))
    return 0


def _info(options: argparse.Namespace) -> int:
    from audionmf.info import describe, draw, to_text

    if options.picture and len(options.input) > 1:
        raise ParameterError("a picture is of one template file; give one FILE with --picture")

    def work(path: str) -> None:
        description = describe(path)
        files = [str(draw(path, options.picture))] if options.picture else []
        if options.json:
            _print_json({**description, **({"files": files} if files else {})})
        else:
            print(_printable("\n".join([to_text(description, every=options.all), *files])))

    return _each(options, options.input, work)


def _settings(options: argparse.Namespace) -> Settings:
    names = {"quality", *(field.name for field in dataclasses.fields(Settings))}
    given = {name: value for name, value in vars(options).items() if name in names}
    return Settings.from_options(**given)


def _announce(options: argparse.Namespace) -> None:
    if not options.json:
        print(_printable(str(Path(options.out).absolute())), flush=True)


def _report(
    options: argparse.Namespace,
    path: str,
    stems: Any,
    details: dict[str, Any],
    others: Sequence[Path] = (),
) -> None:
    if stems.gain != 1:
        _say(f"all stems of {path!r} were scaled by {stems.gain:.6f}, or one would have clipped")
    if options.json:
        files = {name: str(file) for name, file in stems.paths.items()}
        _print_json(
            {
                "input": path,
                "stems": files,
                "gain": stems.gain,
                "files": [str(other) for other in others],
                **details,
            }
        )
        return
    for file in [*stems.paths.values(), *others]:
        print(_printable(f"  {os.path.relpath(file, options.out)}"))


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="audionmf",
        description="Take a recording apart: source separation and spectral templates with NMF.",
        epilog=_MAIN_EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"audionmf {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    _add_separate(commands)
    _add_learn(commands)
    _add_decompose(commands)
    _add_regroup(commands)
    _add_evaluate(commands)
    info = _command(commands, "info", "explain a file in words", _INFO_TEXT, _INFO_EXAMPLES, _info)
    info.add_argument("input", nargs="+", metavar="FILE", help="audio, template or model files")
    info.add_argument("--all", action="store_true", help="a line for each template, however many")
    info.add_argument("--picture", metavar="FILE.png", help="draw the templates of a template file")
    return parser


class _Parser(argparse.ArgumentParser):
    """Keeps line breaks in texts, and takes no abbreviated options: they break when options come."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Print one line and the way to the help."""
        line = " ".join(f"{self.prog}: error: {message}; see {self.prog} --help".splitlines())
        self.exit(2, _printable(line) + "\n")


def _command(
    commands: Any,
    name: str,
    summary: str,
    text: str,
    examples: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=text, epilog=examples
    )
    parser.set_defaults(run=run)
    general = parser.add_argument_group("general")
    general.add_argument("--json", action="store_true", help="print results as JSON, a line each")
    general.add_argument("--strict", action="store_true", help="treat warnings as errors")
    general.add_argument("--debug", action="store_true", help="show where an error came from")
    return parser


def _add_separate(commands: Any) -> None:
    parser = _command(
        commands,
        "separate",
        "take a recording apart into stems",
        _SEPARATE_TEXT,
        _SEPARATE_EXAMPLES,
        _separate,
    )
    parser.add_argument("input", nargs="+", metavar="INPUT", help="recordings to take apart")
    sources = parser.add_argument_group("the sources")
    sources.add_argument(
        "--n-sources", type=int, metavar="N", help="so many, grouped by timbre (blind)"
    )
    sources.add_argument(
        "--templates",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="template files; each label in them is a source",
    )
    sources.add_argument(
        "--example",
        action="append",
        default=[],
        type=_named_file,
        metavar="NAME=FILE",
        help="a recording of a source alone; repeat it for more sources, or more files of one",
    )
    sources.add_argument(
        "--solo",
        action="append",
        default=[],
        metavar="NAME=START-END",
        help="where a source plays alone in INPUT itself, in seconds, M:SS or H:MM:SS; repeat it "
        "for more sources, or more ranges of one; its stem is exact there",
    )
    sources.add_argument(
        "--labels",
        metavar="FILE",
        help="a label file of Audacity: NAME where a source plays alone, !NAME where it does not "
        "play",
    )
    sources.add_argument(
        "--convert",
        action="store_true",
        help="convert templates of another sample rate or STFT instead of refusing them",
    )
    sources.add_argument(
        "--free",
        type=int,
        default=0,
        metavar="K",
        help="with templates: K further components, learnt from the mixture, become 'other'",
    )
    sources.add_argument(
        "--residual",
        default="",
        metavar="NAME",
        help="with templates: what they do not explain becomes the stem NAME",
    )
    sources.add_argument("--only", metavar="NAME", help="write this source and the 'rest' only")
    _add_output(parser, "separated", pattern=True)
    _add_settings(parser, "separate")


def _add_learn(commands: Any) -> None:
    parser = _command(
        commands, "learn", "learn the templates of a source", _LEARN_TEXT, _LEARN_EXAMPLES, _learn
    )
    parser.add_argument("input", nargs="+", metavar="INPUT", help="recordings of the source alone")
    parser.add_argument(
        "-o", "--output", metavar="FILE.npz", help="where to keep them (default: INPUT's name)"
    )
    parser.add_argument("--name", help="name of the source (default: INPUT's name)")
    _add_settings(parser, "learn")


def _add_decompose(commands: Any) -> None:
    parser = _command(
        commands,
        "decompose",
        "find the components of a recording",
        _DECOMPOSE_TEXT,
        _DECOMPOSE_EXAMPLES,
        _decompose,
    )
    parser.add_argument("input", nargs="+", metavar="INPUT", help="recordings to factorise")
    _add_output(parser, "decomposed", pattern=False)
    _add_settings(parser, "decompose")


def _add_regroup(commands: Any) -> None:
    parser = _command(
        commands,
        "regroup",
        "render components in groups of your own",
        _REGROUP_TEXT,
        _REGROUP_EXAMPLES,
        _regroup,
    )
    parser.add_argument("model", metavar="MODEL.npz", help="a model file of audionmf decompose")
    parser.add_argument(
        "--group",
        action="append",
        required=True,
        metavar="NAME=0,3,7",
        help="components of one source; ranges such as 4-9 work too; repeat it",
    )
    parser.add_argument("--mixture", metavar="FILE", help="where the recording is now")
    _add_output(parser, "separated", pattern=True)


def _add_evaluate(commands: Any) -> None:
    parser = _command(
        commands,
        "evaluate",
        "score stems against the true ones",
        _EVALUATE_TEXT,
        _EVALUATE_EXAMPLES,
        _evaluate,
    )
    parser.add_argument("references", metavar="REFERENCES", help="the true stems: a folder or file")
    parser.add_argument("estimates", metavar="ESTIMATES", help="their estimates: a folder or file")
    scoring = parser.add_argument_group("scoring")
    scoring.add_argument(
        "--match",
        default="auto",
        choices=("auto", "name", "best"),
        help="which estimate is which: of the same name, or the best of all assignments "
        "(default: %(default)s, by name if any name is on both sides)",
    )
    scoring.add_argument(
        "--bss-eval",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="compute SDR, SIR and SAR of BSS Eval too: slower, and short stems only",
    )
    scoring.add_argument("--csv", metavar="FILE", help="write the scores to a CSV file too")


def _add_output(parser: argparse.ArgumentParser, default: str, *, pattern: bool) -> None:
    output = parser.add_argument_group("output")
    output.add_argument(
        "-o",
        "--out",
        default=default,
        metavar="FOLDER",
        help="the output folder (default: %(default)s)",
    )
    if pattern:
        output.add_argument(
            "--filename",
            default="{track}/{source}.{ext}",
            metavar="PATTERN",
            help="names below the folder (default: %(default)s)",
        )
    output.add_argument(
        "--format",
        default="wav",
        choices=("wav", "flac", "aiff"),
        help="kind of the audio files (default: %(default)s)",
    )


def _add_settings(parser: argparse.ArgumentParser, command: str) -> None:
    """Add the options of `Settings`; those that are not given stay out of the result."""
    group = parser.add_argument_group("analysis")
    if command == "separate":
        group.add_argument(
            "--quality",
            choices=QUALITIES,
            default=argparse.SUPPRESS,
            help="effort with templates and examples; sets the options below that are not given "
            "(default: balanced)",
        )
    for field in dataclasses.fields(Settings):
        if command not in field.metadata["commands"]:
            continue
        name, text = f"--{field.name.replace('_', '-')}", field.metadata["help"]
        if field.default is not None:
            shown = "on" if field.default is True else field.default
            text += f" (default: {shown})"
        if isinstance(field.default, bool):
            action: Any = argparse.BooleanOptionalAction
            group.add_argument(name, action=action, default=argparse.SUPPRESS, help=text)
            continue
        if command == "learn" and field.name == "n_components":
            group.add_argument(
                name,
                type=_count_or_auto,
                default=argparse.SUPPRESS,
                metavar="N",
                help="templates (default: 100 frames, or 40 if factorised); 'auto' finds out how "
                "many the sound needs",
            )
            continue
        kind = int if field.default is None else type(field.default)
        metavar = {int: "N", float: "X", str: "NAME"}[kind]
        group.add_argument(name, type=kind, default=argparse.SUPPRESS, metavar=metavar, help=text)


def _count_or_auto(text: str) -> int | str:
    try:
        return text if text == "auto" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a number or 'auto', not {text!r}") from None


def _named_file(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"an example is written NAME=FILE, not {text!r}")
    return name, path


if __name__ == "__main__":
    sys.exit(main())
