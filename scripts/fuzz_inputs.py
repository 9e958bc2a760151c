"""Feed mutated files to the readers for as long as you like, and stop at the first surprise.

A surprise is a crash in native code, a file that takes longer than 10 seconds or more than 1 GiB,
or any exception that is not one of audionmf's own. libFuzzer, through atheris, starts from the files
of ``tests/malformed.py``, follows which lines of audionmf a file reaches, and keeps those that reach
new ones; what it stopped at is written to the folder as ``crash-…``, ``timeout-…`` or ``oom-…``.
The targets "metadata" and "templates" take the file for one member of a good archive, which no
mutation of a whole archive gets through the checksums to.

    pip install atheris
    python scripts/fuzz_inputs.py audio --runs 500000
    python scripts/fuzz_inputs.py archive --runs 200000
    python scripts/fuzz_inputs.py metadata --runs 100000
    python scripts/fuzz_inputs.py templates --runs 100000
    python scripts/fuzz_inputs.py stream --runs 100000
    python scripts/fuzz_inputs.py manifest --runs 50000
    python scripts/fuzz_inputs.py journal --runs 50000
    python scripts/fuzz_inputs.py labels --runs 50000
    python scripts/fuzz_inputs.py score --runs 50000
    python scripts/fuzz_inputs.py options --runs 50000
    python scripts/fuzz_inputs.py groups --runs 50000
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["audionmf"]):
    from audionmf.batch.job import SeparationJob
    from audionmf.batch.journal import Journal
    from audionmf.batch.manifest import Manifest
    from audionmf.cli.common import printable
    from audionmf.errors import AudioNMFError, AudioWarning
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
    elif target == "journal":
        yield JOURNAL
    elif target == "options":
        yield json.dumps(OPTIONS).encode()
    elif target == "groups":
        yield GROUPS
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
    "journal": read_journal,
    "labels": read_labels,
    "score": read_score,
    "options": read_options,
    "groups": read_groups,
}


def main() -> None:
    """Parse the options, write the first corpus, and hand over to libFuzzer, which ends the process."""
    parser = argparse.ArgumentParser(description="Feed mutated files to the readers of audionmf.")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--runs", type=int, default=100_000, help="files to try (default: 100000)")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations (default: 1)")
    parser.add_argument(
        "--folder", type=Path, default=Path("fuzzed"), help="corpus and findings (default: fuzzed)"
    )
    options = parser.parse_args()
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
