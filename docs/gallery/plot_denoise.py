"""
A steady noise made softer
==========================

An oboe with hiss: two seconds of the hiss alone teach what to take out, and ``reduction`` says how
much of it.
"""

import matplotlib.pyplot as plt
import numpy as np

import audionmf
from audionmf.evaluate import si_sdr

clean = audionmf.read("../../audio_samples/trio/stems/oboe.flac")
rate = clean.sample_rate
shape = clean.n_channels, 2 * rate + clean.n_samples
noisy = (0.02 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)
noisy[:, 2 * rate :] += clean.samples

reductions = [0, 6, 12, 24, 36]
scores = []
for reduction in reductions:
    better = audionmf.denoise(noisy, (0.0, 2.0), reduction=reduction, sample_rate=rate)
    scores.append(si_sdr(clean.samples, better.samples[:, 2 * rate :]))

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.plot(reductions, scores, "o-")
axes.set(xlabel="reduction (dB)", ylabel="SI-SDR (dB)")
axes.grid(alpha=0.3)
