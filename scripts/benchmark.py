#!/usr/bin/env python3
"""Measure audionmf beside scikit-learn, torchnmf and the usual script, in one run.

    benchmark.py [RECORDING ...] [--json FILE] [--plot FILE] [--quick] [--only PART ...]

Everything is timed in turns on the same matrix from the same start, and what counts are the ratios:
absolute times move from machine to machine. The matrix is the magnitude spectrogram (n_fft 2048, hop
512) of 60 s of the first RECORDING, mono, or a synthetic one; what is over starts is over all of
them. Peers get V in C order, their best layout.
scikit-learn comes with the package; torchnmf is measured where it is installed (pip install torch
torchnmf).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import benchmark_whole
import measure_peak
import numpy as np
from numpy.typing import NDArray

import audionmf
from audionmf import nmf
from audionmf.analysis.note_model import NoteModel
from audionmf.nmf import constrained, convolutive
from audionmf.nmf.updates import make_updater
from audionmf.sources.score import Note, Part, Score
from audionmf.spectra.stft import STFT

Matrix = NDArray[np.float32]
Result = dict[str, Any]

PEER_ITERATIONS, LONG_ITERATIONS, OUR_ITERATIONS, STARTS = 200, 1000, 200, 5
SIZES = (16, 32)
_REST_S = 0.3
"""Threads of BLAS and OpenMP look for work for a while after a peer has had its turn, and would keep a
core busy while ours is timed; a peer takes so long that it is no matter to it."""


def main() -> None:
    """Run the parts, print their tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "recordings", nargs="*", help="the first is for all; default: a synthetic one"
    )
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--plot", type=Path, help="draw the growth with frames and components here")
    parser.add_argument("--quick", action="store_true", help="10 s instead of 60, for a try")
    parser.add_argument("--starts", type=int, default=STARTS, help="random starts of each (5)")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    options = parser.parse_args()
    seconds = 10 if options.quick else 60
    paths = options.recordings or [None]
    samples, rate = load(paths[0], seconds)
    V = spectrogram(samples.mean(axis=0, keepdims=True))
    results: Result = {"machine": machine(), "shape": list(V.shape)}
    print(f"{results['machine']}\nV: {V.shape[0]} bins x {V.shape[1]} frames, float32\n")
    if importlib.util.find_spec("torchnmf") is None:
        print("(torchnmf is not installed: it is left out)\n")
    for part in options.only:
        if part == "whole":
            results[part] = whole(options.recordings, seconds, min(3, options.starts))
        elif part in OVER_ALL:
            found = {name_of(path): mono(path, seconds) for path in paths}
            results[part] = OVER_ALL[part](found, options.starts)
        else:
            results[part] = PARTS[part](V, samples, rate)
        print(flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    if options.plot and "growth" in results:
        draw_growth(results["growth"], options.plot)


def machine() -> str:
    """Return the machine in a line."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x]
        model = names[0].split(":")[1].strip() if names else model
    return f"{model}, {len(os.sched_getaffinity(0))} cores, NumPy {np.__version__}"


def load(path: str | None, seconds: int) -> tuple[Matrix, int]:
    """Return samples (n_channels, n_samples) and rate of a recording, or of synthetic music."""
    if path:
        audio = audionmf.read(path)
        return audio.samples[:, : seconds * audio.sample_rate], audio.sample_rate
    rng, rate = np.random.default_rng(0), 44100
    samples = np.zeros((2, seconds * rate), np.float32)
    for start in range(0, seconds * rate - rate, rate // 4):
        pitch = 110 * 2 ** (rng.integers(0, 36) / 12)
        t = np.arange(rate) / rate
        note = sum(np.sin(2 * np.pi * pitch * h * t) / h for h in range(1, 12))
        note = 0.1 * note * np.exp(-4 * t) + 0.01 * rng.standard_normal(rate) * np.exp(-20 * t)
        samples[:, start : start + rate] += np.float32(rng.random((2, 1))) * note
    return samples, rate


def name_of(path: str | None) -> str:
    """Return what a recording is called in tables: mixtures by their folders, which differ."""
    if not path:
        return "synthetic"
    return Path(path).parent.name if Path(path).stem == "mixture" else Path(path).stem


def mono(path: str | None, seconds: int) -> Matrix:
    """Return the V of a recording."""
    return spectrogram(load(path, seconds)[0].mean(axis=0, keepdims=True))


def spectrogram(samples: Matrix) -> Matrix:
    """Return V as the STFT of the package hands it out, bins as neighbours."""
    return np.abs(STFT(2048, 512).forward(samples)[0])


def start(V: Matrix, K: int, seed: int = 0) -> tuple[Matrix, Matrix]:
    """Return one random start, for everyone."""
    return nmf.initialize(V, K, seed=seed)


def interleaved(runs: dict[str, Callable[[], float]], repeats: int = 5) -> dict[str, float]:
    """Run all in turns, after one round that does not count; return the median of each."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_number in range(repeats + 1):
        for name, run in runs.items():
            time.sleep(0.3)  # until the threads of the one before have stopped spinning
            value = run()
            if round_number:
                times[name].append(value)
    return {name: statistics.median(values) for name, values in times.items()}


def timed(run: Callable[[], Any]) -> float:
    """Return the seconds that a call takes."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def peer_fits(V: Matrix, K: int, seed: int = 0) -> dict[str, Callable[[int], tuple[float, float]]]:
    """Return the peers as functions from iterations to (seconds, divergence after them)."""
    from sklearn.decomposition import non_negative_factorization

    W0, H0 = start(V, K, seed)
    data = np.ascontiguousarray(V)

    def sklearn(n_iter: int) -> tuple[float, float]:
        W, H = W0.copy(), H0.copy()
        begin = time.perf_counter()
        W, H, _ = non_negative_factorization(
            data, W=W, H=H, n_components=K, init="custom", solver="mu",
            beta_loss="kullback-leibler", max_iter=n_iter, tol=0,
        )  # fmt: skip
        return time.perf_counter() - begin, divergence(V, W @ H)

    fits = {"scikit-learn": sklearn}
    try:
        import torch
        import torchnmf.nmf
    except ImportError:  # told at the start
        return fits

    def torch_fit(n_iter: int) -> tuple[float, float]:
        # torchnmf has V ~ H W^T with V (samples, features).
        model = torchnmf.nmf.NMF(W=torch.from_numpy(H0.T.copy()), H=torch.from_numpy(W0.copy()))
        target = torch.from_numpy(data)
        begin = time.perf_counter()
        model.fit(target, beta=1, max_iter=n_iter, tol=0)
        seconds = time.perf_counter() - begin
        product = (model.H @ model.W.T).detach().numpy()
        return seconds, divergence(V, product)

    return {**fits, "torchnmf": torch_fit}


def iteration(V: Matrix, samples: Matrix, rate: int) -> Result:
    """One iteration of W and H: against the peers, the floor, one thread and C order."""
    result: Result = {}
    for K in SIZES:
        W0, H0 = start(V, K)
        peers = peer_fits(V, K)
        runs = {
            "audionmf": partial(one_iteration, V, W0, H0),
            "audionmf, one thread": partial(one_iteration, V, W0, H0, 1),
            "audionmf, V in C order": partial(one_iteration, np.ascontiguousarray(V), W0, H0),
            "audionmf, tiny start": partial(one_iteration, V, W0 * np.float32(1e-12), H0),
            "audionmf, silence inside": partial(one_iteration, silenced(V), W0, H0),
            **{name: partial(peer_iteration, fit) for name, fit in peers.items()},
        }
        times = interleaved(runs)
        peak = sgemm_peak()
        floor = 8 * V.size * K / peak + division_seconds(V)
        result[K] = {"seconds": times, "sgemm_gflops": peak / 1e9, "floor_seconds": floor}
        print(f"one iteration, K = {K}")
        for name, seconds in times.items():
            print(f"  {name:26s} {1e3 * seconds:8.2f} ms   x {seconds / times['audionmf']:.2f}")
        ratio = times["audionmf, one thread"] / times["audionmf"]
        share, speed = floor / times["audionmf"], peak / 1e9
        print(f"  share of the floor         {share:8.0%}   (sgemm {speed:.0f} GFLOP/s)")
        top = measure_peak.peak(len(os.sched_getaffinity(0)))
        result[K]["peak_gflops"] = top / 1e9
        print(f"  share of the multiply-adds {8 * V.size * K / top / times['audionmf']:8.0%}   "
              f"(registers alone {top / 1e9:.0f} GFLOP/s)")  # fmt: skip
        print(f"  two threads against one    {ratio:8.2f}")
        plain = nmf.fit(V, K, templates=W0, activations=H0, method="plain", max_iter=50, tol=0)
        reference = same_order_divergence(V, W0, H0, 50)
        mine = float(plain.divergence[-1])
        result[K]["after 50"] = {"audionmf": mine, "scikit-learn": reference}
        difference_share = abs(mine - reference) / reference
        print(f"  divergence after 50        {mine:.6g}, scikit-learn {reference:.6g}, "
              f"relative difference {difference_share:.1e}")  # fmt: skip
    return result


def channels(V: Matrix, samples: Matrix, rate: int) -> Result:
    """One iteration of the tensor form on two channels, against the matrix form on each of them."""
    pair = [spectrogram(samples[c % len(samples)][None]) for c in range(2)]
    tensor, result = np.stack(pair), {}
    options: dict[str, Any] = {"method": "plain", "tol": 0}
    for K in SIZES:
        runs = {
            "matrix, a channel": partial(
                fit_iteration, lambda n, K=K: nmf.fit(pair[0], K, max_iter=n, **options)
            ),
            "tensor, both": partial(
                fit_iteration, lambda n, K=K: nmf.fit_channels(tensor, K, max_iter=n, **options)
            ),
        }
        result[K] = times = interleaved(runs)
        share = times["tensor, both"] / 2 / times["matrix, a channel"]
        print(f"one iteration on two channels, K = {K}")
        for name, seconds in times.items():
            print(f"  {name:26s} {1e3 * seconds:8.2f} ms")
        print(f"  a channel of the tensor costs {share:.2f} of the matrix form")
    return result


def models(V: Matrix, samples: Matrix, rate: int) -> Result:
    """One iteration of the other models beside the dense one, 16 components."""
    K, tensor = 16, np.stack([V, V])
    given, quarter, marks = start(V, K), *np.zeros((2, *V.shape), np.uint8)
    quarter[:, : V.shape[1] // 4], weights = 1, np.array([[0, 0], [10, 0]], np.float32)
    marks[50:200, 300:500] = marks[10:90, 800:900] = 1  # 2.3 s and 1.2 s
    plain: dict[str, Any] = {"method": "plain", "tol": 0, "seed": 0}
    fits: dict[str, tuple[float, Callable[[int], Any]]] = {
        "dense": (1, lambda n: nmf.fit(V, K, max_iter=n, **plain)),
        "tensor, 2 channels": (2, lambda n: nmf.fit_channels(tensor, K, max_iter=n, **plain)),
        "penalised": (1, lambda n: nmf.fit(
            V, K, max_iter=n, penalties=nmf.Penalties(sparsity=0.1), tol=0, seed=0)),
        **{f"constrained, {name}": (1, lambda n, zones=zones: constrained.fit_constrained(
            V, *given, [k % 2 for k in range(K)], zones, weights, max_iter=n, tol=0))
           for name, zones in (("two marks", marks), ("a quarter", quarter))},
        "convolutive, 4 frames": (4, lambda n: convolutive.fit(V, K, 4, max_iter=n, tol=0)),
        "notes of a score": notes_of_a_score(V, rate, K),
        "a voice": a_voice(V, K),
    }  # fmt: skip
    times: Result = {}
    print("one iteration of other models, K = 16, beside the dense one of equal multiply-adds, by "
          "the seconds of the processor")  # fmt: skip
    for name, (work, fit) in fits.items():
        times[name] = processor_iteration(fit)
        print(f"  {name:26s} {1e3 * times[name]:8.2f} ms   x {times[name] / times['dense'] / work:.2f}",
              flush=True)  # fmt: skip
    return times


def notes_of_a_score(V: Matrix, rate: int, K: int) -> tuple[float, Callable[[int], Any]]:
    """Return the work of notes beside K spectra, and their fit: two octaves, each key twice."""
    seconds = V.shape[1] * 512 / rate
    starts = [(key, half * seconds / 2) for key in range(48, 73) for half in (0, 1)]
    played = [Note(a, a + seconds / 4, key, 64, a + seconds / 4) for key, a in starts]
    score = Score((Part("notes", tuple(sorted(played, key=lambda note: note.onset))),))

    def fit(n_iter: int) -> Any:
        model = NoteModel(score, STFT(2048, 512), rate)
        term = model.term(V, 512 / rate, 1.0, np.zeros((V.shape[1], len(model.voices)), bool))
        return nmf.fit_sum(V, [term], max_iter=n_iter)

    return len(NoteModel(score, STFT(2048, 512), rate).voices) / K, fit


def a_voice(V: Matrix, K: int) -> tuple[float, Callable[[int], Any]]:
    """Return the work of a voice beside K spectra, and its fit: 80 pitches, 6 filters of 20 bumps.

    As it is written, each of its three phases has two products to make the voice; then two for what
    moves. `nmf.Voice` finds some of them once for all phases, and others in advance.
    """
    rng, (n_bins, n_frames) = np.random.default_rng(0), V.shape
    sources, bumps, pitches, filters, openings = (
        rng.random(shape, np.float32) + np.float32(0.1)
        for shape in ((80, n_bins), (20, n_bins), (n_frames, 80), (6, 20), (n_frames, 6))
    )

    def fit(n_iter: int) -> Any:
        model = nmf.Voice(
            sources, bumps, pitches=pitches.copy(), filters=filters.copy(),
            openings=openings.copy(), gains=np.ones(1, np.float32),
        )  # fmt: skip
        return nmf.fit_sum(V, [model], max_iter=n_iter)

    return (5 * 80 + 5 * 6 + 2 * 20) / (4 * K), fit


def processor_iteration(fit: Callable[[int], Any], n_iter: int = 20) -> float:
    """Return the processor seconds of one iteration of a fit: the least of some, of the mean."""
    fit(1)

    def least(n: int) -> float:
        found = []
        for _ in range(3):
            begin = time.process_time()
            fit(n)
            found.append(time.process_time() - begin)
        return min(found)

    return (least(n_iter + 1) - least(1)) / n_iter


def fit_iteration(fit: Callable[[int], Any]) -> float:
    """Return the seconds of one iteration of a fit: the mean of 50, what is around them taken out."""
    return (timed(lambda: fit(51)) - timed(lambda: fit(1))) / 50


def divergence(V: Matrix, model: Matrix) -> float:
    """Return the divergence of a peer's model, whose zeros its own floor hides from it."""
    return nmf.beta_divergence(V, np.maximum(model, 1e-12))


def one_iteration(V: Matrix, W0: Matrix, H0: Matrix, threads: int = 0) -> float:
    """Return the seconds of one of our iterations, of H and then W: the mean of 50."""
    free = np.ones(W0.shape[1], bool)
    W, H = np.ascontiguousarray(W0.T), np.ascontiguousarray(H0.T)
    with make_updater(V, 1.0, threads or len(os.sched_getaffinity(0)), free, free) as updater:
        return timed(lambda: [updater.iterate(W, H) for _ in range(50)]) / 50


def peer_iteration(fit: Callable[[int], tuple[float, float]]) -> float:
    """Return the seconds of one iteration of a peer: the mean of 50, what is around them taken out."""
    return (fit(51)[0] - fit(1)[0]) / 50


def same_order_divergence(V: Matrix, W0: Matrix, H0: Matrix, n_iter: int) -> float:
    """Return scikit-learn's divergence when it updates H before W, as we do: on the transpose."""
    from sklearn.decomposition import non_negative_factorization

    H, W, _ = non_negative_factorization(
        np.ascontiguousarray(V.T), W=H0.T.copy(), H=W0.T.copy(), n_components=W0.shape[1],
        init="custom", solver="mu", beta_loss="kullback-leibler", max_iter=n_iter, tol=0,
    )  # fmt: skip
    return nmf.beta_divergence(V, W.T @ H.T)


def silenced(V: Matrix) -> Matrix:
    """Return V with digital silence in its middle third."""
    quiet = V.copy(order="K")
    quiet[:, V.shape[1] // 3 : 2 * V.shape[1] // 3] = 0
    return quiet


def sgemm_peak() -> float:
    """Return the flops a second of NumPy's matrix product, as it is installed."""
    rng = np.random.default_rng(0)
    A, B = (rng.random((1536, 1536), np.float32) for _ in range(2))
    return 2 * 1536**3 / min(timed(lambda: A @ B) for _ in range(8))


def division_seconds(V: Matrix) -> float:
    """Return the time of the two divisions of an iteration, in cache, on all cores."""
    block = np.ascontiguousarray(V.T[:64])
    out = np.empty_like(block)
    one = min(timed(lambda: np.divide(block, block + 1, out=out)) for _ in range(50))
    return 2 * one * V.size / block.size / len(os.sched_getaffinity(0))


def convergence(recordings: dict[str, Matrix], starts: int) -> Result:
    """Time to the divergence that peers have after 200 iterations: starts, recordings, worst."""
    rows: list[Result] = []
    for name, V in recordings.items():
        for K in SIZES:
            for seed in range(starts):
                found = one_start(name, V, K, seed)
                rows += found
                times = ", ".join(f"{r['peer']} {r['given']}: {r['times']:.1f} x" for r in found)
                print(f"  {name}, K = {K}, start {seed}: {times}", flush=True)
    print(f"time to a peer's divergence after {PEER_ITERATIONS} iterations, over {starts} starts of "
          f"{', '.join(recordings)}")  # fmt: skip
    for peer in dict.fromkeys(row["peer"] for row in rows):
        for K in SIZES:
            for given in ("W and H", "W"):
                told(peer, K, given, [r for r in rows
                     if (r["peer"], r["K"], r["given"]) == (peer, K, given)])  # fmt: skip
    return {"rows": rows}


def one_start(name: str, V: Matrix, K: int, seed: int) -> list[Result]:
    """Return a row for each peer and for what of the start is given to us."""
    W0, H0 = start(V, K, seed)
    rows = []
    for peer, fit in peer_fits(V, K, seed).items():
        seconds, target = fit(PEER_ITERATIONS)
        for given in ("W and H", "W"):
            H = H0 if given == "W and H" else None
            mine, model = accelerated(V, W0, H, target)
            reached = float(model.divergence[-1]) <= target
            rows.append({
                "recording": name, "K": K, "seed": seed, "peer": peer, "given": given,
                "times": seconds / mine, "seconds": mine, "passes": model.passes,
                "reached": reached, "share": float(model.divergence[-1]) / target,
            })  # fmt: skip
    return rows


def told(peer: str, K: int, given: str, rows: list[Result]) -> None:
    """Print the median and the worst of some rows."""
    times, passes = [r["times"] for r in rows], [r["passes"] for r in rows]
    short = sum(not r["reached"] for r in rows)
    print(f"  {peer:13s} K = {K}, {given:8s} given: median {statistics.median(times):5.1f} x, worst "
          f"{min(times):5.1f} x, passes over V {statistics.median(passes):5.1f}, at most "
          f"{max(passes):5.1f}; {short} of {len(rows)} ended above")  # fmt: skip


def converged(recordings: dict[str, Matrix], starts: int) -> Result:
    """Compare divergences: ours until converged, the best peer's after 1000 iterations."""
    rows = []
    print(f"divergence until converged, beside the best peer after {LONG_ITERATIONS} iterations")
    for name, V in recordings.items():
        for K in SIZES:
            for seed in range(starts):
                peers = {p: f(LONG_ITERATIONS)[1] for p, f in peer_fits(V, K, seed).items()}
                W0, H0 = start(V, K, seed)
                model = nmf.fit(
                    V, K, templates=W0, activations=H0, max_iter=LONG_ITERATIONS, tol=1e-5
                )
                mine = float(model.divergence[-1])
                rows.append({"recording": name, "K": K, "seed": seed, "peers": peers,
                             "share": mine / min(peers.values()), "passes": model.passes})  # fmt: skip
                beside = ", ".join(
                    f"{peer} {mine / value - 1:+.2%}" for peer, value in peers.items()
                )
                print(f"  {name:20s} K = {K}, start {seed}: {beside}, {model.passes:.0f} passes "
                      f"over V", flush=True)  # fmt: skip
    shares = [row["share"] - 1 for row in rows]
    print(f"  mean {statistics.mean(shares):+.2%}, worst {max(shares):+.2%}")
    return {"rows": rows}


def accelerated(V: Matrix, W0: Matrix, H0: Matrix | None, target: float) -> tuple[float, nmf.NMF]:
    """Return the seconds and the model of a fit that is cancelled once the target is passed."""
    time.sleep(_REST_S)
    begin = time.perf_counter()
    model = nmf.fit(
        V, W0.shape[1], templates=W0, activations=H0, max_iter=OUR_ITERATIONS, tol=0,
        callback=lambda s: not s.coarse and s.divergence <= target,
    )  # fmt: skip
    return time.perf_counter() - begin, model


def activations(V: Matrix, samples: Matrix, rate: int) -> Result:
    """Activations with fixed templates, to the divergence of scikit-learn's transform."""
    from sklearn.decomposition import NMF

    result: Result = {}
    for K in SIZES:
        W = nmf.fit(V, K).templates
        data = np.ascontiguousarray(V.T)
        model = NMF(K, solver="mu", beta_loss="kullback-leibler", max_iter=PEER_ITERATIONS, tol=0)
        model.n_components_, model.components_ = K, np.ascontiguousarray(W.T)
        model.n_features_in_ = V.shape[0]
        target = divergence(V, W @ model.transform(data).T)
        n_iter = next(
            n for n in range(5, 400, 5)
            if divergence(V, W @ nmf.activate(V, W, n_iter=n)) <= target
        )  # fmt: skip
        times = interleaved(
            {
                "audionmf": lambda W=W, n=n_iter: timed(lambda: nmf.activate(V, W, n_iter=n)),
                "scikit-learn": lambda m=model, d=data: timed(lambda: m.transform(d)),
            },
            3,
        )
        result[K] = {"seconds": times, "target": target, "audionmf_iterations": n_iter}
        print(f"activations, K = {K}, to {target:.6g} ({n_iter} accelerated iterations)")
        for name, seconds in times.items():
            print(f"  {name:26s} {seconds:8.3f} s    x {seconds / times['audionmf']:.1f}")
    return result


def growth(V: Matrix, samples: Matrix, rate: int) -> Result:
    """Time of an iteration over the number of frames and of components."""

    def per_iteration(data: Matrix, K: int) -> float:
        W0, H0 = start(data, K)
        W, H = np.ascontiguousarray(W0.T), np.ascontiguousarray(H0.T)
        free = np.ones(K, bool)
        with make_updater(data, 1.0, len(os.sched_getaffinity(0)), free, free) as updater:
            updater.iterate(W, H)
            return min(timed(lambda: updater.iterate(W, H)) for _ in range(9))

    long = np.asfortranarray(np.tile(V, (1, 2)))
    lengths = [long.shape[1] * n // 8 for n in (1, 2, 4, 8)]
    frames = {n: per_iteration(long[:, :n], 16) for n in lengths}
    components = {K: per_iteration(V, K) for K in (8, 16, 32, 64, 128)}
    print("growth with frames, K = 16: microseconds a frame")
    print("  " + "   ".join(f"{n}: {1e6 * t / n:.3f}" for n, t in frames.items()))
    print(f"growth with components, {V.shape[1]} frames: microseconds a component")
    print("  " + "   ".join(f"{K}: {1e6 * t / K:.1f}" for K, t in components.items()))
    return {"frames": frames, "components": components}


def memory(V: Matrix, samples: Matrix, rate: int) -> Result:
    """Measure what an updater holds beyond V, W and H, for one length and for four times that."""
    import tracemalloc

    held = {}
    free = np.ones(16, bool)
    for n in (V.shape[1] // 4, V.shape[1]):
        tracemalloc.start()
        with make_updater(V[:, :n], 1.0, 2, free, free) as updater:
            W, H = (x.T.copy() for x in start(V[:, :n], 16))
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            updater.iterate(W, H)
            peak = tracemalloc.get_traced_memory()[1] - before
            held[n] = {
                "buffers_mb": before / 1e6 - (W.nbytes + H.nbytes) / 1e6,
                "peak_mb": peak / 1e6,
            }
        tracemalloc.stop()
    print("memory beyond V, W, H")
    for n, figures in held.items():
        size = V.shape[0] * n * 4 / 1e6
        print(f"  {n:6d} frames (V: {size:.1f} MB): buffers {figures['buffers_mb']:.2f} MB, "
              f"and {figures['peak_mb']:.2f} MB more while iterating")  # fmt: skip
    return {str(n): figures for n, figures in held.items()}


def whole(paths: list[str], seconds: int, runs: int) -> Result:
    """Whole processes: separation into 4 sources beside the usual script."""
    rows = [benchmark_whole.compare("blind", Path(path), seconds, runs) for path in paths]
    benchmark_whole.tell(rows)
    return {"rows": rows}


def imports(V: Matrix, samples: Matrix, rate: int) -> Result:
    """Time of ``import audionmf`` in a new process, beyond that of Python."""

    def launch(code: str) -> float:
        return timed(lambda: subprocess.run([sys.executable, "-c", code], check=True))

    times = interleaved({"import": lambda: launch("import audionmf"), "python": lambda: launch("")})
    beyond = times["import"] - times["python"]
    print(f"import audionmf: {beyond:.3f} s (Python alone {times['python']:.3f} s)")
    return times


def draw_growth(figures: Result, path: Path) -> None:
    """Draw time over frames and over components, in both themes, with lines of plain proportion."""
    from audionmf import plot
    from audionmf.plot.style import dressed, theme_of

    kinds = (
        ("frames", "frames, with 16 components", "twice the frames, twice the time"),
        ("components", "components", "twice the components, twice the time"),
    )
    for theme in plot.THEMES:
        picture, shades = plot.figure(11, 4.2, theme), theme_of(theme)
        for i, (name, label, title) in enumerate(kinds):
            axes = dressed(picture.add_subplot(1, 2, i + 1), theme)
            x = np.array([int(n) for n in figures[name]])
            y = 1e3 * np.array(list(figures[name].values()))
            line = {"color": shades.faint, "linestyle": "--", "label": "in proportion"}
            axes.plot([0, x[-1]], [0, y[-1]], **line)
            axes.plot(x, y, "o-", color=shades.sources[0], label="measured")
            axes.set(xlabel=label, xlim=(0, None), ylim=(0, None))
            axes.set(ylabel="time of an iteration (ms)", title=title)
            axes.title.set_color(shades.text)
            axes.legend(facecolor=shades.background, edgecolor="none", labelcolor=shades.text)
        ending = "" if theme == "light" else f"-{theme}"
        plot.save(picture, path.with_stem(path.stem + ending), 80)


PARTS: dict[str, Callable[[Matrix, Matrix, int], Result]] = {
    "iteration": iteration,
    "channels": channels,
    "activations": activations,
    "growth": growth,
    "memory": memory,
    "imports": imports,
    "models": models,
}


OVER_ALL: dict[str, Callable[[dict[str, Matrix]], Result]] = {
    "convergence": convergence,
    "converged": converged,
}

NAMES = [*PARTS, *OVER_ALL, "whole"]


if __name__ == "__main__":
    main()
