"""Feed mutated files to the readers for as long as you like, and stop at the first surprise.

A surprise is a crash in native code, a file that takes longer than 10 seconds or more than 1 GiB,
or any exception that is not one of audionmf's own. libFuzzer, through atheris, starts from the files
of ``tests/malformed.py``, follows which lines of audionmf a file reaches, and keeps those that reach
new ones; what it stopped at is written to the folder as ``crash-…``, ``timeout-…`` or ``oom-…``.

    pip install atheris
    python scripts/fuzz_inputs.py audio --runs 500000
    python scripts/fuzz_inputs.py archive --runs 400000
    python scripts/fuzz_inputs.py labels --runs 50000
    python scripts/fuzz_inputs.py score --runs 50000
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["audionmf"]):
    from audionmf.archive import read_archive, read_kind
    from audionmf.audio import AudioFile
    from audionmf.decomposition import MODEL_KIND, Decomposition
    from audionmf.errors import AudioNMFError, AudioWarning
    from audionmf.labels import read_labels
    from audionmf.score import read_score
    from audionmf.templates import TEMPLATES_KIND, Templates

TESTS = Path(__file__).resolve().parent.parent / "tests"
MOST_BLOCKS = 64


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


TARGETS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "audio": (read_audio, ("separate",)),
    "archive": (read_archives, ("templates", "model")),
    "labels": (read_labels, ("labels",)),
    "score": (read_score, ("score",)),
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
    read, commands = TARGETS[options.target]
    corpus = options.folder / options.target
    corpus.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(TESTS))
    import malformed

    for number, case in enumerate(malformed.CASES):
        if case.command in commands and len(case.content) < 20_000:
            (corpus / f"case{number:03}").write_bytes(case.content)
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
        "-max_len=20000",
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
