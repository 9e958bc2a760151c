#!/usr/bin/env python3
"""Measure what it costs to import audionmf, and what the first run on a machine does.

measure_start.py RECORDING [--runs N]

Each figure is the processor time of a process of its own, the least of so many runs (default 3): what
the machine does besides hardly changes it. The first run compiles the kernels, in a copy of the
package that has none; where there is a second core it does so in two processes, so its time on the
clock, which says something on an idle machine only, stands beside it.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import audionmf

IMPORT = "import audionmf"
HELP = "from audionmf.cli import main; main(['--help'])"
KEPT = (".nbi", ".nbc", ".code")
RUN = "import sys; from audionmf.cli import main; main(['separate', sys.argv[1], '-n', '2', '-q'])"


def main() -> None:
    """Print the processor seconds of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recording", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    path = str(options.recording.resolve())

    def least(once: Callable[[], float]) -> float:
        return min(once() for _ in range(options.runs))

    python = least(lambda: seconds("pass"))
    print(f"python alone                  {python:6.2f} s")
    print(f"import audionmf               {least(lambda: seconds(IMPORT)):6.2f} s")
    print(f"audionmf --help               {least(lambda: seconds(HELP)):6.2f} s")
    for name in ("separate", "nmf.fit", "read"):
        used = least(lambda name=name: seconds(f"import audionmf; audionmf.{name}"))
        print(f"first use of audionmf.{name:8}{used:6.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(audionmf.__file__).parent  # a copy without code beside it
        shutil.copytree(home, Path(folder, home.name), ignore=shutil.ignore_patterns("__pycache__"))
        begun = time.perf_counter()
        first = seconds(RUN, path, code=folder)
        clock = time.perf_counter() - begun
        later = least(lambda: seconds(RUN, path, code=folder))
        kept = sum(file.stat().st_size for file in Path(folder).rglob("*.*") if file.suffix in KEPT)
    print(f"two sources, the first run    {first:6.2f} s, on the clock {clock:.2f} s")
    print(f"two sources, later runs       {later:6.2f} s")
    print(f"code kept on disk             {kept / 1e6:6.2f} MB")


def seconds(program: str, *arguments: str, code: str | None = None) -> float:
    """Return the processor time of a program; of the package and its compiled code in a folder."""
    around = dict(os.environ) | ({"NUMBA_CACHE_DIR": code, "PYTHONPATH": code} if code else {})
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", program, *arguments], env=around, cwd=code, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
