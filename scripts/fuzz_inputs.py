"""Feed mutated files to the readers for as long as you like, and stop at the first surprise.

A surprise is a crash in native code, a file that takes longer than 10 seconds or more than 1 GiB,
or any exception that is not one of audionmf's own. libFuzzer, through atheris, starts from the files
of ``tests/malformed.py``, follows which lines of audionmf a file reaches, and keeps those that reach
new ones; what it stopped at is written to the folder as ``crash-…``, ``timeout-…`` or ``oom-…``.
The targets "metadata" and "templates" take the file for one member of a good archive, which no
mutation of a whole archive gets through the checksums to.

Without atheris, ``--blind`` changes the same files at random, and in JSON whole values for odd ones:
no line of audionmf is followed, so that ten times as many go through. It stops at the first surprise
too, a crash in native code apart, and leaves that file as ``TARGET.input``.

    pip install atheris
    python scripts/fuzz_inputs.py all --blind --runs 1000000
    python scripts/fuzz_inputs.py audio --runs 500000
    python scripts/fuzz_inputs.py archive --runs 200000
    python scripts/fuzz_inputs.py metadata --runs 100000
    python scripts/fuzz_inputs.py templates --runs 100000
    python scripts/fuzz_inputs.py stream --runs 100000
    python scripts/fuzz_inputs.py manifest --runs 50000
    python scripts/fuzz_inputs.py regrouping --runs 50000
    python scripts/fuzz_inputs.py journal --runs 50000
    python scripts/fuzz_inputs.py labels --runs 50000
    python scripts/fuzz_inputs.py score --runs 50000
    python scripts/fuzz_inputs.py options --runs 50000
    python scripts/fuzz_inputs.py groups --runs 50000
    python scripts/fuzz_inputs.py arguments --runs 50000
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import random
import sys
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

BLIND = "--blind" in sys.argv
if BLIND:
    following: Any = contextlib.nullcontext()
else:
    import atheris

    following = atheris.instrument_imports(include=["audionmf"])

with following:
    from audionmf.batch.job import SeparationJob
    from audionmf.batch.journal import Journal
    from audionmf.batch.manifest import Manifest, stems_before
    from audionmf.batch.regrouped import Regrouping
    from audionmf.cli import main as command_line
    from audionmf.cli.common import printable
    from audionmf.errors import AudioNMFError, AudioNMFWarning, AudioWarning
    from audionmf.io.archive import read_archive, read_kind
    from audionmf.io.audio import AudioFile
    from audionmf.live.streams import PCMStream
    from audionmf.rendering.decomposition import MODEL_KIND, Decomposition
    from audionmf.rendering.grouping import parse_groups
    from audionmf.rendering.stems import stem_paths
    from audionmf.sources.labels import Labels, parse_solo, read_labels
    from audionmf.sources.score import read_score
    from audionmf.sources.templates import TEMPLATES_KIND, Templates

TESTS = Path(__file__).resolve().parent.parent / "tests"
MOST_BLOCKS = 64
MOST_BYTES = 20_000

sys.path.insert(0, str(TESTS))
import malformed  # noqa: E402


def read_audio(path: Path) -> None:
    """Read a recording: its header, then its samples, as far as 64 blocks go."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AudioWarning)
        file = AudioFile(path)
        for block in itertools.islice(file.blocks(4096), MOST_BLOCKS):
            if block.shape[0] != file.n_channels or not 1 <= block.shape[1] <= 4096:
                raise RuntimeError(f"a block of shape {block.shape}")


def read_archives(path: Path) -> None:
    """Read a template file or a model file, through everything that reads them."""
    readers: list[Callable[[], object]] = [
        lambda: read_kind(path),
        lambda: read_archive(path, TEMPLATES_KIND),
        lambda: read_archive(path, MODEL_KIND),
        lambda: Templates.load(path),
        lambda: Decomposition.load(path),
    ]
    failures = 0
    for reader in readers:
        try:
            reader()
        except AudioNMFError:
            failures += 1
    if failures == len(readers):
        raise AudioNMFError("no reader takes it")


def read_member(name: str) -> Callable[[Path], None]:
    """Return what reads a good archive but for one member, which is the file."""

    def read(path: Path) -> None:
        content = path.read_bytes()
        if name == "metadata":
            text = content.decode("utf-8", "replace")
            made = malformed.archive(text)
        else:
            made = malformed.archive(**{name: content})
        path.write_bytes(made)
        read_archives(path)

    return read


def read_stream(path: Path) -> None:
    """Read a WAV stream as it comes through a pipe."""
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", AudioWarning)
        stream = PCMStream(file)
        for block in itertools.islice(stream.blocks(), MOST_BLOCKS):
            if block.shape[0] != stream.form.n_channels:
                raise RuntimeError(f"a block of shape {block.shape}")


def read_regrouping(path: Path) -> None:
    """Read what a regroup wrote, and find the files that the next one would clear away."""
    stems_before(path)
    made = Regrouping.load(path)
    with contextlib.suppress(AudioNMFError):
        made.folder(path)


def read_manifest(path: Path) -> None:
    """Read a manifest, and make the job that it asks for, without doing it."""
    found = Manifest.load(path)
    found.to_dict()
    found.recipe.to_job(path.parent).planned_exports()


def read_journal(path: Path) -> None:
    """Open a journal and go on with it."""
    with Journal(path) as book:
        if any(name != entry.track for name, entry in book.entries.items()):
            raise RuntimeError("an entry under another name")


def read_options(path: Path) -> None:
    """Take the file for the options of a job, as JSON, and plan the job."""
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    if isinstance(values, dict):
        job = SeparationJob.from_dict({"input": "mix.wav", **values})
        Labels.of(job.solo, job.absent)
        stem_paths(path.parent, "mix", job.only or "source", job.pattern, job.extension)


def read_groups(path: Path) -> None:
    """Take the file for the arguments of groups and ranges, a line each."""
    lines = path.read_bytes().decode("utf-8", "surrogateescape").split("\n")
    failures = 0
    for reader in (parse_groups, lambda texts: [parse_solo(text) for text in texts]):
        try:
            reader(lines)
        except AudioNMFError as error:
            printable(str(error))
            failures += 1
    if failures == 2:
        raise AudioNMFError("no reader takes it")


def read_arguments(path: Path) -> None:
    """Take the file for a command line, a word a line: the words of a command that writes nothing."""
    lines = path.read_bytes().decode("utf-8", "surrogateescape").split("\n")
    words = [line.replace("\0", "") for line in lines]
    if words[0] not in COMMANDS:
        words.insert(0, "separate")
    if words[0] == "separate":
        words += ["--dry-run"]
    said = io.StringIO()
    said.reconfigure = lambda **_: None  # type: ignore[attr-defined]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            code = command_line(words)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    text = said.getvalue()
    errors = [line for line in text.split("\n") if "error: " in line]
    good = len(errors) == (code != 0) if code != 1 else len(errors) > 1  # each of several inputs
    if code not in CODES or "unexpected" in text or not good:
        raise RuntimeError(f"code {code} of {words!r}: {text}")


CODES = (0, 1, 2, 3, 4, 5, 6)
COMMANDS = (
    "separate",
    "learn",
    "decompose",
    "regroup",
    "remix",
    "denoise",
    "notes",
    "info",
    "rerun",
)
"""Those that end by themselves; recordings that are named are not there."""

ARGUMENTS = (
    b"separate\nmix.wav\n--n-sources\n3\n--n-fft\n256\n--filename\n{track}/{source}.{ext}\n-j\n2",
    b"separate\nmix.wav\n--solo\nbird=1-2\n--free\n4\n--only\nbird\n--format\nflac\n--start\n0:01",
    b"separate\nmix.wav\n--example\na=a.wav\n--export\nmidi,raven\n--gate\n-20\n--quality\nfast",
    b"learn\na.wav\n-o\na.npz\n--name\na\n--n-components\nauto\n--seed\n7",
    b"decompose\nmix.wav\n--n-components\n9\n-o\nout\n--export\nmidi",
    b"regroup\nmodel.npz\n--group\nbass=0,3-5\n--root\nx",
    b"remix\nmix.wav\n--gain\nbass=-3\n-o\nx.wav",
    b"denoise\nmix.wav\n--noise\n0-1\n--reduction\n12",
    b"notes\nmix.wav\n--export\ncsv\n--tempo\n120",
    b"rerun\nmanifest.json\n--root\nx",
)

OPTIONS = {
    "n_sources": 2, "free": 1, "residual": "rest", "solo": {"a": [[0, 1.5]]}, "absent": {"b": [[1, 2]]},
    "settings": {"n_fft": 256, "quality": "fast", "seed": 1, "cues": "place,pitch"},
    "pattern": "{track}/{source}.{ext}", "extension": "flac", "export": ["midi"], "split_at": "C4",
}  # fmt: skip
GROUPS = b"bass=0,3,7\nkeys=1-2\nviolin=1:02-1:10.25\npiano=12.5-20"
MANIFEST = {
    "format": "audionmf manifest",
    "version": 1,
    "versions": {"numpy": "2.0"},
    "inputs": {"/mix.wav": "00"},
    "job": {"input": "/mix.wav", "n_sources": 2, "settings": {"n_fft": 256}, "pattern": "x{source}"},
    "stems": {"source1": {"file": "mix/source1.wav", "sha256": "00", "n_bytes": 44}},
    "notes": {},
    "gain": 1.0,
    "divergence": [2.0, 1.0],
    "reason": "tol",
    "trust": {},
}  # fmt: skip
REGROUPING = {
    "format": "audionmf regrouping",
    "version": 1,
    "versions": {"numpy": "2.0"},
    "inputs": {"/model.npz": "00", "/mix.wav": "00"},
    "model": "/model.npz",
    "mixture": "/mix.wav",
    "groups": {"a": [0, 1]},
    "track": "mix",
    "pattern": "{track}/{source}.{ext}",
    "stems": {"a": {"file": "mix/a.wav", "sha256": "00", "n_bytes": 44}},
    "notes": {},
    "gain": 1.0,
    "trust": {},
}
JOURNAL = (
    b'{"format": "audionmf journal", "version": 1}\n'
    b'{"track": "a/manifest.json", "key": "00", "outputs": {"a/x.wav": ["00", 44]}}\n'
)


def first_files(target: str) -> Iterator[bytes]:
    """Yield the files that a target starts from."""
    if target in ("metadata", "templates"):
        archives = (c.content for c in malformed.CASES if c.command in ("templates", "model"))
        for content in archives:
            try:
                with zipfile.ZipFile(io.BytesIO(content)) as file:
                    member = file.read(f"{target}.npy")
            except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, EOFError):
                continue
            if target == "templates":
                yield member
        if target == "metadata":
            for values in (malformed.METADATA, malformed.MODEL_METADATA):
                yield json.dumps(values).encode()
    elif target == "manifest":
        yield json.dumps(MANIFEST).encode()
    elif target == "regrouping":
        yield json.dumps(REGROUPING).encode()
    elif target == "journal":
        yield JOURNAL
    elif target == "options":
        yield json.dumps(OPTIONS).encode()
    elif target == "groups":
        yield GROUPS
    elif target == "arguments":
        yield from ARGUMENTS
    else:
        kinds = {"archive": ("templates", "model"), "stream": ("separate",), "audio": ("separate",)}
        commands = kinds.get(target, (target,))
        yield from (c.content for c in malformed.CASES if c.command in commands)


TARGETS: dict[str, Callable[[Path], object]] = {
    "audio": read_audio,
    "archive": read_archives,
    "metadata": read_member("metadata"),
    "templates": read_member("templates"),
    "stream": read_stream,
    "manifest": read_manifest,
    "regrouping": read_regrouping,
    "journal": read_journal,
    "labels": read_labels,
    "score": read_score,
    "options": read_options,
    "groups": read_groups,
    "arguments": read_arguments,
}
JSON = ("manifest", "regrouping", "options", "metadata", "journal")
SHARES = {
    "groups": 40, "labels": 40, "journal": 30, "stream": 10, "manifest": 8, "options": 8, "score": 8,
    "regrouping": 8, "audio": 2, "archive": 1, "metadata": 1, "templates": 1, "arguments": 1,
}  # fmt: skip
"""Parts of all inputs that a target gets when all are tried: the quick ones get more."""


ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**30, 10**400, 0.0, -0.0, 1e-300,
    1e300, float("nan"), float("inf"), float("-inf"), "", " ", "nan", "0", "-1", "\x1b[2J", "\n", "\0",
    "\ud800", "a" * 300, "../../x", "{track}", "{x}", "{0.a}", "\u202e", [], [[]], [None], {},
    {"": None}, {"a": {"a": {}}}, [1, "a"], [[1, 0]], [[0, 10**12]],
)  # fmt: skip


def mutated_json(rng: random.Random, content: bytes) -> bytes:
    """Return a JSON text, or lines of them, in which some values are odd, gone or in other places."""
    lines = content.split(b"\n")
    i = rng.randrange(len(lines))
    try:
        values = json.loads(lines[i])
    except (ValueError, RecursionError):
        return mutated_bytes(rng, content)
    for _ in range(rng.randint(1, 3)):
        values = _odd_within(rng, values)
    lines[i] = json.dumps(values).encode()
    return b"\n".join(lines)


def _odd_within(rng: random.Random, value: Any) -> Any:
    """Return a value in which one inside, or it itself, is another."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return rng.choice(ODD)
    changed = value.copy()
    key = rng.choice(list(changed)) if isinstance(changed, dict) else rng.randrange(len(changed))
    what = rng.random()
    if what < 0.1:
        del changed[key]
    elif what < 0.2 and isinstance(changed, dict):
        changed[str(rng.choice(ODD))[:400]] = changed.pop(key)
    else:
        changed[key] = _odd_within(rng, changed[key])
    return changed


def mutated_bytes(rng: random.Random, content: bytes) -> bytes:
    """Return bytes of which some are changed, gone, doubled or odd."""
    changed = bytearray(content)
    for _ in range(1 << rng.randrange(4)):
        at, n = rng.randrange(len(changed) + 1), rng.randint(1, 8)
        what = rng.randrange(6)
        if what == 0:
            changed[at : at + n] = rng.randbytes(n)
        elif what == 1:
            del changed[at : at + n * n]
        elif what == 2:
            changed[at:at] = changed[at : at + n * n]
        elif what == 3:
            changed[at : at + 4] = rng.choice(
                (b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\0\0\0\x80")
            )
        elif what == 4:
            changed[at : at + n] = str(rng.choice(ODD)).encode("utf-8", "replace")[:400]
        elif changed:
            at = min(at, len(changed) - 1)
            changed[at] ^= 1 << rng.randrange(8)
    return bytes(changed[:MOST_BYTES])


def run_blind(target: str, n_runs: int, seed: int, folder: Path) -> None:
    """Try changed files one after the other; what is a surprise ends it and stays in the folder."""
    rng = random.Random(f"{target} {seed}")  # noqa: S311 (nothing is kept secret)
    corpus = [content for content in first_files(target) if len(content) < MOST_BYTES]
    place, read, slowest = folder / f"{target}.input", TARGETS[target], 0.0
    start = time.monotonic()
    for _ in range(n_runs):
        content = rng.choice(corpus)
        structured = target in JSON and rng.random() < 0.7
        place.write_bytes((mutated_json if structured else mutated_bytes)(rng, content))
        begun = time.monotonic()
        with contextlib.suppress(AudioNMFError), warnings.catch_warnings():
            warnings.simplefilter("ignore", AudioNMFWarning)
            read(place)
        slowest = max(slowest, time.monotonic() - begun)
        if slowest > SLOWEST:
            raise RuntimeError(f"{place} took {slowest:.0f} s")
    took = time.monotonic() - start
    print(f"{target}: {n_runs} files in {took:.0f} s, the slowest {slowest:.2f} s", flush=True)


SLOWEST = 30.0


def main() -> None:
    """Parse the options, and try files blindly, or hand over to libFuzzer, which ends the process."""
    parser = argparse.ArgumentParser(description="Feed mutated files to the readers of audionmf.")
    parser.add_argument("target", choices=[*TARGETS, "all"], help="all: with --blind only")
    parser.add_argument("--blind", action="store_true", help="without atheris, and faster")
    parser.add_argument("--runs", type=int, default=100_000, help="files to try (default: 100000)")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations (default: 1)")
    parser.add_argument(
        "--folder", type=Path, default=Path("fuzzed"), help="corpus and findings (default: fuzzed)"
    )
    options = parser.parse_args()
    if options.blind:
        options.folder.mkdir(parents=True, exist_ok=True)
        targets = list(TARGETS) if options.target == "all" else [options.target]
        parts = sum(SHARES[target] for target in targets)
        for target in targets:
            n_runs = -(-options.runs * SHARES[target] // parts)
            run_blind(target, n_runs, options.seed, options.folder)
        return
    if options.target == "all":
        parser.error("all targets are tried with --blind only")
    read = TARGETS[options.target]
    corpus = options.folder / options.target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(first_files(options.target)):
        if len(content) < MOST_BYTES:
            (corpus / f"case{number:03}").write_bytes(content)
    place = options.folder / f"{options.target}.input"

    def try_one(content: bytes) -> None:
        place.write_bytes(content)
        try:
            read(place)
        except AudioNMFError:
            return

    arguments = [
        sys.argv[0],
        f"-runs={options.runs}",
        f"-seed={options.seed}",
        f"-artifact_prefix={options.folder}{os.sep}",
        f"-max_len={MOST_BYTES}",
        "-timeout=10",
        "-rss_limit_mb=1024",
        "-close_fd_mask=2",
        "-print_final_stats=1",
        str(corpus),
    ]
    atheris.Setup(arguments, try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
