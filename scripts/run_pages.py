"""Run what pages tell to type, commands of the shell and blocks of Python, on short recordings.

    python scripts/run_pages.py                  # the README, the start and the guides
    python scripts/run_pages.py --all            # every page
    python scripts/run_pages.py docs/shell.md    # those

Each page has a folder of its own, with all the recordings, banks and scores that pages name, made of
`audio_samples` and short; its commands run there in order, as they are written, each line by a shell.
Checked are the exit code, and that what the command and the page promise is there and was written now.
A studio is opened, asked for its page, and ended as with Ctrl-C; a sound card and the cluster are stood
in for. Lines that are not of `audionmf` (pip, dask) are left out. Ends with 1 if anything failed.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pretty_midi
import soundfile
import soxr

import audionmf

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "audio_samples"
RATE = 8000
SECONDS = 600  # the most that a command may take
TASKS = [ROOT / "README.md", ROOT / "docs" / "start.md", *sorted(ROOT.glob("docs/guides/*.md"))]
CLUSTER = re.compile(r"tls://(?:cluster|scheduler):8786")

TRIO = ("bassoon", "harp", "oboe")
LONE = {  # recordings of one source, by the sample that is taken for them
    "bassoon": "cello bird a horn bees bass take wind speech take1",
    "harp": "piano frog guitar b voice sea interview harp melody",
    "oboe": "violin flute oboe sax wren singer strings take2",
}
DRUMS = {"kick": "kick", "snare": "snare", "hihat": "hat hihat bell"}

# What pages promise beyond the files that a command names: files by command, without `audionmf`.
PROMISED = {
    "separate mix.wav": ["separated/mix/manifest.json"],
    "separate mix.wav --example violin=violin.wav": ["separated/mix/rest.wav"],
    "separate mix.wav --example bird=bird.wav": ["separated/mix/rest.wav"],
    "separate mix.wav --midi score.mid": [
        f"separated/mix/{part}.wav" for part in ("bassoon", "harp", "oboe")
    ],
    "separate song.wav --lead": ["separated/song/lead.wav", "separated/song/accompaniment.wav"],
    "separate song.wav --lead=singer": ["separated/song/singer.wav"],
    "separate song.wav --harmonic-percussive": [
        "separated/song/harmonic.wav",
        "separated/song/percussive.wav",
    ],
    "separate mix.wav --harmonic-percussive --margin 2": ["separated/mix/residual.wav"],
    "separate loop.wav --midi loop.mid": ["separated/loop/*ick*.wav", "separated/loop/*nare*.wav"],
    "separate drums.wav --midi drums.mid": ["separated/drums/*nare*.wav"],
    "separate quartet.wav --midi quartet.mid": ["separated/quartet/Violin I.wav"],
    "separate concert.wav --templates violin.npz --free 8": ["separated/concert/other.wav"],
    "separate mix.wav --templates violin.npz --free 8": ["separated/mix/other.wav"],
    "separate mix.wav --n-sources 3 --format flac --subtype PCM_24": ["separated/mix/*.flac"],
    "decompose mix.wav --n-components 16": [
        f"decomposed/mix/{name}" for name in ("model.npz", "*.png", "*.csv", "*.wav")
    ],
    "learn violin.wav --n-components auto": ["violin.npz"],
}

GIVEN = f"""
import numpy as np
import audionmf
from audionmf import nmf

samples = audionmf.read("violin.wav").samples
rate = sample_rate = {RATE}
V = np.abs(np.random.default_rng(0).normal(size=(65, 80))).astype(np.float32)
W = V[:, :3] + 0.1
files = ["violin.wav", "piano.wav"]
magnitudes = lambda stem: V
"""


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a shell, and where it stands."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        """The words of the `audionmf` command in it, without its name."""
        for part in re.split(r"\s\|\s", self.text):
            if part.strip().startswith("audionmf "):
                return shlex.split(part, comments=True)[1:]
        return []


def lines_of(page: Path) -> Iterator[Line]:
    """Yield the lines of fenced and indented blocks that call `audionmf`."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"^```(?:sh|bash|console|shell)?\n(.*?)^```", text, re.M | re.S)
    without = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    blocks += re.findall(r"(?:^    .*\n?)+", without, re.M)
    for block in blocks:
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            if re.search(r"(?:^|\| )audionmf [a-z]", line.strip()):
                yield Line(str(page.relative_to(ROOT)), line.strip().replace(" …", ""))


def python_of(page: Path) -> str:
    """Return the blocks of Python of a page, in one."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S))


# --- what pages name


def tiled(path: Path, seconds: float, rate: int = RATE) -> np.ndarray:
    """Return a recording in mono, as often after itself as it takes."""
    heard = audionmf.read(path)
    mono = soxr.resample(heard.samples.mean(axis=0), heard.sample_rate, rate)
    return np.resize(mono, round(seconds * rate)).astype(np.float32)


def tiled_score(track: str, seconds: float, names: dict[str, str]) -> pretty_midi.PrettyMIDI:
    """Return the score of a sample as often after itself as `seconds` hold, with the parts named."""
    once = soundfile.info(SAMPLES / track / "mixture.wav").duration
    score = pretty_midi.PrettyMIDI(str(SAMPLES / track / "score.mid"))
    score.instruments = [part for part in score.instruments if part.name in names]
    for part in score.instruments:
        part.name = names[part.name]
        part.notes = [
            pretty_midi.Note(note.velocity, note.pitch, note.start + k * once, note.end + k * once)
            for k in range(int(seconds // once) + 1)
            for note in part.notes
            if note.end + k * once <= seconds
        ]
    return score


def make_material(folder: Path, text: str) -> None:
    """Write every recording, bank and score that pages name, as long as this one's times ask for."""
    seconds = 41 if "31-40" in text else 12

    def write(name: str, samples: np.ndarray, rate: int = RATE) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples.T, rate)

    for sample, names in LONE.items():
        alone = tiled(SAMPLES / "trio" / "examples" / f"{sample}.flac", 41)
        for name in names.split():
            write(f"{name}.wav", alone if name in ("sea", "take") else alone[: 15 * RATE])
    for sample, names in DRUMS.items():
        alone = tiled(SAMPLES / "drums" / "examples" / f"{sample}.flac", 4.75)
        for name in names.split():
            write(f"{name}.wav", alone)
        write(f"samples/{sample}.wav", alone)
    shutil.copytree(
        folder / "samples", folder / "hats", ignore=lambda *_: ["kick.wav", "snare.wav"]
    )
    trio, drums = (tiled(SAMPLES / track / "mixture.wav", 84) for track in ("trio", "drums"))
    once = slice(seconds * RATE)
    both = trio[once] + drums[once]
    for name in ("mix", "song", "trio"):
        write(f"{name}.wav", 0.5 * both)
    for name in ("quartet", "concert"):
        write(f"{name}.wav", trio[once])
    for name in ("loop", "drums"):
        write(f"{name}.wav", drums[: 10 * RATE])
    write("dawn.wav", trio)
    if "1:02:00" in text:
        write("concert.wav", np.resize(trio, 66 * 60 * RATE))
    for name, kind in (("song", 15), ("birds", 15), ("wind", 15)):
        write(f"{name}.flac", trio[: kind * RATE])
    for name in ("bird", "frog", "rain"):
        write(f"true_stems/{name}.wav", both / 6)
    for name in ("birds/blackbird", "birds/wren"):
        write(f"{name}.wav", trio[: 5 * RATE])

    cd = tiled(SAMPLES / "trio" / "mixture.wav", 3, 44100)
    for name in ("album/1.wav", "album/2.wav", "songs/1.wav", "corpus/1.flac", "recordings/1.flac"):
        write(name, cd, 44100)
    write("mix48k.wav", tiled(SAMPLES / "trio" / "mixture.wav", 12, 48000), 48000)
    write("room.wav", cd, 44100)
    write("microphone.wav", np.stack([cd, cd]), 44100)
    banks = [
        audionmf.learn(np.roll(cd, 5000 * k), label, 8, sample_rate=44100)
        for k, label in enumerate(("voice", "band"))
    ]
    audionmf.Templates.merge(banks).save(folder / "band.npz")
    (folder / "mix.txt").write_text("0.0\t4.0\tviolin\n6.0\t9.0\tpiano\n12.0\t14.0\t!violin\n")

    for name, track, parts in (
        ("score", "trio", dict(zip(TRIO, TRIO, strict=True))),
        ("song", "trio", dict(zip(TRIO, TRIO, strict=True))),
        ("trio", "trio", {"oboe": "oboe", "harp": "Violin", "bassoon": "Cello"}),
        ("quartet", "trio", {"oboe": "Violin I", "harp": "Violin II", "bassoon": "Cello"}),
        ("piano", "trio", {"harp": "piano"}),
        ("loop", "drums", {name: name for name in DRUMS}),
        ("drums", "drums", {name: name for name in DRUMS}),
    ):
        score = tiled_score(track, 10 if track == "drums" else seconds, parts)
        if name == "song":
            score.instruments += tiled_score(
                "drums", seconds, {name: name for name in DRUMS}
            ).instruments
        score.write(str(folder / f"{name}.mid"))


# --- what stands in for the machine


def make_programs(folder: Path) -> None:
    """Write the programs that pages call: this audionmf, a sound card, a browser."""
    programs = {
        # the cluster of pages is the one that runs here
        "audionmf": f"""#!/usr/bin/env bash
set -- "${{@/#tls:\\/\\/cluster:8786/$PAGES_CLUSTER}}"
set -- "${{@/#tls:\\/\\/scheduler:8786/$PAGES_CLUSTER}}"
exec {shlex.quote(sys.executable)} -m audionmf "$@"
""",
        "arecord": f"""#!/usr/bin/env bash
exec {shlex.quote(sys.executable)} -c '
import sys, soundfile
sys.stdout.buffer.write(soundfile.read("microphone.wav", dtype="int16")[0].tobytes())'
""",
        "aplay": "#!/usr/bin/env bash\ncat > loudspeaker.raw\n",
        "browser": "#!/usr/bin/env bash\necho opened\n",
    }
    for name, text in programs.items():
        path = folder / name
        path.write_text(text)
        path.chmod(0o755)


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Run a cluster over TLS while the context lasts; yield what commands need to find it."""
    from distributed import LocalCluster
    from distributed.security import Security

    security = Security.temporary()
    pem = {"ca": security.tls_ca_file, "cert": security.tls_client_cert}
    pem["key"] = security.tls_client_key
    for name, text in pem.items():
        (folder / f"{name}.pem").write_text(text)
    variables = {
        "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(folder / "ca.pem"),
        "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT": str(folder / "cert.pem"),
        "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY": str(folder / "key.pem"),
    }
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        protocol="tls://",
        security=security,
        dashboard_address=None,
        silence_logs=50,
        local_directory=str(folder / "workers"),
    ) as running:
        yield {**variables, "PAGES_CLUSTER": running.scheduler_address}


# --- what is done


def promised(line: Line) -> list[str]:
    """Return patterns of the files that a command is to write."""
    words = line.words
    found = list(PROMISED.get(shlex.join(words), ()))
    after = {words[i]: words[i + 1] for i in range(len(words) - 1)}
    if words[0] == "stream":
        return ["loudspeaker.raw"]
    if after.get("--dry-run") or "--dry-run" in words:
        return []
    found += [after[name] for name in ("-o", "--picture") if name in after]
    if words[0] == "separate" and "-o" not in words:
        folder = f"separated/{Path(words[1]).stem}"
        names = [words[i + 1] for i in range(len(words)) if words[i] in ("--example", "--solo")]
        found += [f"{folder}/{name.split('=')[0]}.*" for name in names]
        found += [f"{folder}/report.html"] * ("--report" in words)
        for kind in after.get("--export", "").split(","):
            ending = {"labels": "txt", "midi": "mid", "events": "txt", "raven": "txt"}.get(
                kind, kind
            )
            found += [f"{folder}/*.{ending}"] * bool(kind)
    return found


def code_of(line: Line) -> int:
    """Return the exit code that a command is to end with."""
    if "cuda" not in line.words:
        return 0
    try:
        import torch
    except ImportError:
        return 1
    return 0 if torch.cuda.is_available() else 2


def open_studio(line: Line, folder: Path, variables: dict[str, str]) -> tuple[int, str]:
    """Open a studio, ask for its page, and end it; return its code and what it said."""
    studio = subprocess.Popen(
        ("bash", "-c", f"exec {line.text}"),
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler),
    )
    clock = threading.Timer(SECONDS, studio.kill)
    clock.start()
    said = ""
    try:
        for told in studio.stdout or ():
            said += told
            if found := re.search(r"http://\S+", told):
                with urllib.request.urlopen(found[0], timeout=SECONDS) as page:  # noqa: S310
                    said += f"{page.status}, {len(page.read())} bytes\n"
                break
        studio.send_signal(signal.SIGINT)
        said += studio.communicate(timeout=SECONDS)[0]
    finally:
        clock.cancel()
        studio.kill()
    return (0 if studio.returncode in (0, 130, -2) and "200, " in said else 1), said


def called(
    words: tuple[str, ...], folder: Path, variables: dict[str, str], told: str = ""
) -> tuple[int, str]:
    """Run a program, with what it is told on standard input; return its code and what it said."""
    try:
        done = subprocess.run(
            words,
            input=told,
            cwd=folder,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, f"is not done after {SECONDS} s"
    return done.returncode, done.stdout


def fault(line: Line, folder: Path, variables: dict[str, str]) -> str | None:
    """Do what a line says; return what is wrong, if anything."""
    begun = time.time_ns()
    if line.words[0] == "studio":
        code, said = open_studio(line, folder, variables)
    else:
        code, said = called(("bash", "-o", "pipefail", "-c", line.text), folder, variables)
    where = f"{line.page}: {line.text}"
    if code != code_of(line):
        return f"{where}\n  ended with {code}, not {code_of(line)}:\n{said}"
    if "Traceback" in said:
        return f"{where}\n{said}"
    old = 0 if "--resume" in line.words else begun - 1_000_000_000  # some clocks of files are slow
    for pattern in promised(line) if code == 0 else ():
        written = [path for path in folder.glob(pattern) if path.stat().st_mtime_ns >= old]
        if not written:
            return f"{where}\n  has not written {pattern}:\n{said}"
    return None


def run_page(page: Path, work: Path, variables: dict[str, str]) -> list[str]:
    """Do all that a page says, in a folder of its own; return what went wrong."""
    lines, code = list(lines_of(page)), python_of(page)
    if not lines and not code:
        return []
    begun = time.monotonic()
    folder = work / str(page.relative_to(ROOT)).replace("/", "-")
    text = page.read_text("utf-8")
    folder.mkdir()
    make_material(folder, text)
    (folder / "audio_samples").symlink_to(SAMPLES)
    for certificate in (work / "cluster").glob("*.pem"):
        shutil.copy(certificate, folder)
    if "--model decomposed/" in text and "audionmf decompose" not in text:
        lines.insert(0, Line("before it", "audionmf decompose mix.wav --n-components 16"))
    faults = [told for line in lines if (told := fault(line, folder, variables))]
    if code:
        told = python_fault(page, code, folder, variables)
        faults += [told] if told else []
    print(
        f"{page.relative_to(ROOT)}: {len(lines)} commands{', Python' if code else ''}, "
        f"{time.monotonic() - begun:.0f} s",
        flush=True,
    )
    shutil.rmtree(folder)
    return faults


def python_fault(page: Path, code: str, folder: Path, variables: dict[str, str]) -> str | None:
    """Run the blocks of a page one after the other; return what is wrong, if anything."""
    code = CLUSTER.sub(variables.get("PAGES_CLUSTER", ""), code)
    if 'device="cuda"' in code and code_of(Line("", "audionmf separate --device cuda")):
        return None
    words = (sys.executable, "-W", "error", "-")
    ended, said = called(words, folder, variables, f"{GIVEN}\n{code}")
    return f"{page.name}: Python\n{said}" if ended else None


def main() -> int:
    """Run pages; say what fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", nargs="*", type=Path, help="default: the README, start and guides")
    parser.add_argument("--all", action="store_true", help="every page")
    options = parser.parse_args()
    every = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    pages = [page.resolve() for page in options.page] or (every if options.all else TASKS)
    lines = [line for page in pages for line in lines_of(page)]
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in ("programs", "cluster", "state"):
            (work / name).mkdir()
        make_programs(work / "programs")
        variables = {
            **os.environ,
            "PATH": f"{work / 'programs'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "BROWSER": str(work / "programs" / "browser"),
            "XDG_STATE_HOME": str(work / "state"),
            "PAGES_CLUSTER": "",
        }
        if any(CLUSTER.search(line.text) for line in lines):
            variables |= stack.enter_context(cluster(work / "cluster"))
        with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
            done = pool.map(lambda page: run_page(page, work, variables), pages)
            faults = [told for page in done for told in page]
    print("\n".join(faults) or f"{len(lines)} commands do what the pages say")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
