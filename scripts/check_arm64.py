#!/usr/bin/env python3
"""Run the kernels of the processor under emulation of a 64-bit ARM processor, and compare.

check_arm64.py [FOLDER]

Debian's Python for ARM, its libraries and an emulator (qemu) are unpacked in FOLDER, with the packages
that the kernels need; nothing is installed, and it takes some minutes. What iterations,
their sums, divergence and accelerated activations give there must be what this machine gives, but for
rounding. Emulated processors say nothing about speed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from audionmf.nmf.kernels import KLKernel
from audionmf.nmf.shapes import BITS, COLUMNS, VECTORS

ROOT = Path(__file__).resolve().parent.parent
ARM_PACKAGES = (
    "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6", "libgcc-s1",
    "libstdc++6", "zlib1g", "libexpat1", "libffi8", "libssl3", "libuuid1", "libbz2-1.0", "liblzma5",
    "libcrypt1",
)  # fmt: skip
WHEELS = ("numba", "llvmlite", "numpy")
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")
SIZES = [(5, 9, 3), (97, 150, 19), (203, 70, 8), (1025, 130, 24), (33, 200, 1)]
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def main() -> None:
    """Prepare the folder, run both, compare; the exit code is 1 where they differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="default: one that goes afterwards")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        np.savez(options.run, *results())
        print(f"{platform.machine()}: vectors of {BITS} bits, tiles of {VECTORS} x {COLUMNS}")
        return
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
        compare(options.folder.resolve())
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder))


def results() -> list[np.ndarray]:
    """Return what the kernels make of random data of some sizes, in both precisions."""
    found: list[np.ndarray] = []
    for dtype in TOLERANCE:
        for n_bins, n_frames, K in SIZES:
            rng = np.random.default_rng(K)
            V = np.asfortranarray(rng.random((n_bins, n_frames)), dtype)
            W, H = (
                (rng.random(shape) + 0.05).astype(dtype) for shape in ((K, n_bins), (n_frames, K))
            )
            free = np.ones(K, bool)
            with KLKernel(V, K, 2, free, free) as kernel:
                value = kernel.iterate(W, H, divergence=True)
                over, sums = kernel.sums(W, H)
                kernel.activate(W, H, 5)
            found += [W, H, np.asarray(over), np.asarray(sums), np.array(value)]
    return found


def compare(folder: Path) -> None:
    """Run under emulation, with a folder for it, and tell the largest difference."""
    prepare(folder)
    out = folder / "found.npz"
    environment = {"PYTHONPATH": f"{folder / 'site'}:{ROOT}", "HOME": str(folder)}
    environment["NUMBA_CACHE_DIR"] = str(folder / "code")
    emulator, python = folder / "root/usr/bin/qemu-aarch64-static", "root/usr/bin/python3.11"
    subprocess.run(
        [emulator, "-L", folder / "root", folder / python, "-B", __file__, "--run", out],
        env=environment, check=True,
    )  # fmt: skip
    worst = {"float32": 0.0, "float64": 0.0}
    with np.load(out) as file:
        found = [file[name] for name in file.files]
    for i, (there, here) in enumerate(zip(found, results(), strict=True)):
        dtype = list(TOLERANCE)[i // (5 * len(SIZES))]
        difference = float(np.abs(there - here).max() / np.abs(here).max())
        worst[dtype] = max(worst[dtype], difference)
    for dtype, difference in worst.items():
        print(f"{dtype}: largest difference {difference:.1e} of the largest value")
    if any(not worst[dtype] <= TOLERANCE[dtype] for dtype in TOLERANCE):
        sys.exit("the kernels give something else there")


def prepare(folder: Path) -> None:
    """Unpack what is needed in a folder, where it is not there yet."""
    if (folder / "site").exists():
        return
    packages, state = folder / "packages", folder / "apt"
    for place in (packages, state / "lists/partial", state / "cache/archives/partial"):
        place.mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    arm = [
        f"-o{option}" for option in (
            "APT::Architecture=arm64", "APT::Architectures::=arm64",
            f"Dir::State::lists={state / 'lists'}", f"Dir::State::status={state / 'status'}",
            f"Dir::Cache={state / 'cache'}",
        )
    ]  # fmt: skip
    run(["apt-get", "-qq", "download", "qemu-user-static"], packages)
    run(["apt-get", "-qq", *arm, "update"], packages)
    run(["apt-get", "-qq", *arm, "download", *ARM_PACKAGES], packages)
    for package in packages.glob("*.deb"):
        run(["dpkg", "-x", str(package), str(folder / "root")], packages)
    wanted = [f"{name}=={importlib.metadata.version(name)}" for name in WHEELS]
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:",
         "--python-version", "3.11", "--implementation", "cp", *platforms, *wanted],
        packages,
    )  # fmt: skip
    for wheel in packages.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "site.part")
    (folder / "site.part").rename(folder / "site")


def run(command: list[str], folder: Path) -> None:
    """Run a command in a folder; its own words say what is wrong with it."""
    subprocess.run(command, cwd=folder, check=True, env=os.environ)


if __name__ == "__main__":
    main()
