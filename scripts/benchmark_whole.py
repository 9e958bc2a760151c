#!/usr/bin/env python3
"""Measure whole processes beside a page of librosa and scikit-learn that does the same.

    benchmark_whole.py RECORDING ... [--seconds 60] [--runs 3] [--only WAY ...] [--json FILE]

A RECORDING is an audio file, taken apart blind, or a folder with `mixture.*` and `examples/NAME.*`,
taken apart by example too. It is repeated or cut to so many seconds, in stereo. Both sides run in
turns, in processes of their own, from reading the file to written stems; each run is printed when it
ends. What is told at the end are the least of the runs: seconds on the clock, and seconds of the
processor, which other work on the machine changes less. The last lines are the median and the worst
ratio over the recordings.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

Result = dict[str, Any]

USUAL_BLIND = """
import sys, librosa, numpy as np, soundfile as sf
y, rate = sf.read(sys.argv[1], dtype="float32", always_2d=True)
X = librosa.stft(y.T, n_fft=2048, hop_length=512)
V = np.abs(X).mean(axis=0)
W, H = librosa.decompose.decompose(V, n_components=16, solver="mu", beta_loss="kullback-leibler")
models = np.stack([W[:, i::4] @ H[i::4] for i in range(4)])
for i in range(4):
    mask = librosa.util.softmask(models[i], models.sum(axis=0) - models[i], power=1)
    stem = librosa.istft(X * mask, hop_length=512, length=len(y))
    sf.write(f"{sys.argv[2]}/{i}.wav", stem.T, rate, subtype="PCM_16")
"""
USUAL_BY_EXAMPLE = """
import sys, librosa, numpy as np, soundfile as sf
from sklearn.decomposition import NMF, non_negative_factorization
options = dict(solver="mu", beta_loss="kullback-leibler", max_iter=200)
banks = []
for path in sys.argv[3:]:
    y, rate = sf.read(path, dtype="float32", always_2d=True)
    V = np.abs(librosa.stft(y.T, n_fft=2048, hop_length=512)).mean(axis=0)
    banks.append(NMF(40, init="random", random_state=0, **options).fit(V.T).components_)
y, rate = sf.read(sys.argv[1], dtype="float32", always_2d=True)
X = librosa.stft(y.T, n_fft=2048, hop_length=512)
V = np.abs(X).mean(axis=0)
bank = np.concatenate(banks).astype(np.float32)
H, _, _ = non_negative_factorization(
    V.T, H=bank, n_components=len(bank), init="custom", update_H=False, **options)
models = np.stack([(H[:, k : k + 40] @ bank[k : k + 40]).T for k in range(0, len(bank), 40)])
for i, model in enumerate(models):
    mask = librosa.util.softmask(model, models.sum(axis=0) - model, power=1)
    stem = librosa.istft(X * mask, hop_length=512, length=len(y))
    sf.write(f"{sys.argv[2]}/{i}.wav", stem.T, rate, subtype="PCM_16")
"""
BLIND = ("--n-sources", "4", "--n-components", "16", "--n-fft", "2048", "--hop-length", "512")
WAYS = ("blind", "by example")


def main() -> None:
    """Measure all recordings, print the rows, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [
        compare(way, path, options.seconds, options.runs)
        for path in options.recordings
        for way in options.only
        if way == "blind" or path.is_dir()
    ]
    tell(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def compare(way: str, recording: Path, seconds: int, runs: int) -> Result:
    """Measure one way on one recording, and print each run."""
    mixture = next(recording.glob("mixture.*")) if recording.is_dir() else recording
    examples = sorted((recording / "examples").iterdir()) if way == "by example" else []
    print(f"{way}, {seconds} s of {recording.stem}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path, script = Path(folder, "mixture.wav"), Path(folder, "usual.py")
        write_long(mixture, path, seconds)
        script.write_text(USUAL_BY_EXAMPLE if examples else USUAL_BLIND)
        named = [f"--example={file.stem}={file}" for file in examples]
        ours = [sys.executable, "-m", "audionmf", "separate", str(path),
                *(named or BLIND), "-o", folder, "--json"]  # fmt: skip
        usual = [sys.executable, str(script), str(path), folder, *map(str, examples)]
        run("audionmf", ours, note=", not counted: it may compile")
        pairs = [(run("audionmf", ours), run("usual script", usual)) for _ in range(runs)]
    row: Result = {"way": way, "recording": recording.stem, "seconds": seconds}
    for name, found in zip(("audionmf", "usual script"), zip(*pairs, strict=True), strict=True):
        row[name] = {key: min(one[key] for one in found) for key in found[0]}
    return row


def run(who: str, command: list[str], note: str = "") -> Result:
    """Measure a command, and print what was found."""
    found = process(command)
    print(f"  {who:13s} {found['clock']:7.2f} s, processor {found['processor']:7.2f} s, "
          f"{found['memory_mib']:5.0f} MiB{note}", flush=True)  # fmt: skip
    return found


def write_long(source: Path, target: Path, seconds: int) -> None:
    """Write a recording in stereo, repeated or cut to so many seconds."""
    y, rate = soundfile.read(source, dtype="float32", always_2d=True)
    wanted = seconds * rate
    y = np.tile(y, (-(-wanted // len(y)), 1))[:wanted]
    y = np.repeat(y, 2, axis=1) if y.shape[1] == 1 else y[:, :2]
    soundfile.write(target, y, rate, subtype="PCM_16")


def process(command: list[str]) -> Result:
    """Run a command; return its seconds on the clock and of the processor, and its peak memory."""
    code = (
        "import resource, subprocess, sys, json, time; begin = time.perf_counter();"
        "done = subprocess.run(sys.argv[1:], capture_output=True, text=True);"
        "clock = time.perf_counter() - begin;"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "print(json.dumps({'clock': clock, 'processor': used.ru_utime + used.ru_stime,"
        "'memory_mib': used.ru_maxrss / 1024, 'code': done.returncode, 'errors': done.stderr}))"
    )
    # An installed package has its bytecode kept; without, each run would compile it again.
    around = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        env=around,
        capture_output=True,
        text=True,
        check=True,
    )
    result: Result = json.loads(done.stdout)
    if result.pop("code"):
        sys.exit(f"{command}: {result['errors']}")
    del result["errors"]
    return result


def tell(rows: list[Result]) -> None:
    """Print the median and the worst ratio of each way."""
    for way in dict.fromkeys(row["way"] for row in rows):
        mine = [row for row in rows if row["way"] == way]
        for key in ("clock", "processor", "memory_mib"):
            ratios = [row["usual script"][key] / row["audionmf"][key] for row in mine]
            print(f"{way:11s} {key:10s} usual script / audionmf over {len(mine)} recordings: "
                  f"median {statistics.median(ratios):.1f}, worst {min(ratios):.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
