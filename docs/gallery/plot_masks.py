"""
Softer and harder masks
=======================

The models of the sources share out each point of the spectrogram. ``mask_exponent`` says how: 1 in
proportion, 2 as the Wiener filter does, more ever harder. What is best depends on the recording.
"""

# %%
# Three instruments by example; how near each stem comes to the true one is told by SI-SDR.
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import audionmf
from audionmf.evaluate import si_sdr

trio = Path("../../audio_samples/trio")
examples = {path.stem: path for path in sorted((trio / "examples").glob("*.flac"))}
stems_of = trio / "stems"
true = {name: audionmf.read(stems_of / f"{name}.flac").samples for name in examples}
exponents = [0.5, 1, 2, 4]
means = []
for exponent in exponents:
    stems = audionmf.separate(
        trio / "mixture.wav",
        examples=examples,
        mask_exponent=exponent,
        exemplars=False,
    )
    scores = [si_sdr(true[name], stems.sources[name]) for name in examples]
    means.append(np.mean(scores))

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.plot(exponents, means, "o-")
axes.set(xlabel="mask exponent", ylabel="SI-SDR, mean of the stems (dB)")
axes.grid(alpha=0.3)
