"""
Into components, and together again
===================================

The factorisation can be looked at before anything is grouped: templates on the left, the
spectrogram, and below it when each component plays.
"""

import audionmf
from audionmf import plot

mixture = "../../audio_samples/drums/mixture.wav"
found = audionmf.analyse(mixture, components=True, n_components=6)
bank = found.templates
H = found.activations
W = bank.templates
picture = plot.decomposition(W @ H, W, H, bank.stft, bank.sample_rate)

# %%
# Components become sources by a grouping of one's own.
grouped = found.regroup({"kick": (0, 2), "snare": (1, 5), "hi-hat": (3, 4)})
audionmf.render(mixture, grouped)
