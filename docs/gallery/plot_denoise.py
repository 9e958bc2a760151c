"""
A steady noise made softer
==========================

An oboe with hiss: two seconds of the hiss alone teach what to take out, and ``reduction`` says how
much of it.
"""

# %%
# The recording: two seconds of hiss, then hiss and an oboe.
import matplotlib.pyplot as plt
import numpy as np

import audionmf
from audionmf.evaluate import si_sdr

clean = audionmf.read("../../audio_samples/trio/stems/oboe.flac")
rate = clean.sample_rate
shape = clean.n_channels, 2 * rate + clean.n_samples
hiss = np.random.default_rng(0).standard_normal(shape)
noisy = (0.02 * hiss).astype(np.float32)
noisy[:, 2 * rate :] += clean.samples
recording = audionmf.Audio(noisy, rate)

# %%
# How near the oboe comes to the one without hiss is told by SI-SDR: 10 dB more are ten times less
# of what does not belong to it.
reductions = [0, 6, 12, 24, 36]
scores = []
for reduction in reductions:
    better = audionmf.denoise(recording, (0.0, 2.0), reduction=reduction)
    scores.append(si_sdr(clean.samples, better.samples[:, 2 * rate :]))

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.plot(reductions, scores, "o-")
axes.set(xlabel="reduction of the hiss (dB)", ylabel="SI-SDR (dB)")
axes.grid(alpha=0.3)
