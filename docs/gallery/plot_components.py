"""
Into components, and together again
===================================

The factorisation can be looked at before anything is grouped: templates on the left, the
spectrogram, and below it when each component plays.
"""

import audionmf

found = audionmf.decompose("../../audio_samples/drums/mixture.wav", n_components=6)
picture = found.plot()
picture

# %%
# Group the components as you hear them, and they become sources.
found.regroup({"kick": (0, 2), "snare": (1, 5), "hi-hat": (3, 4)}).render()
