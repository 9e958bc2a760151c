"""
Templates, kept and used again
==============================

A bank of spectral templates is learnt once, looked at, saved, and used on any recording.
"""

import tempfile
from pathlib import Path

import audionmf
from audionmf import plot

drums = Path("../../audio_samples/drums")
banks = [
    audionmf.learn(path, path.stem, n_components=3)
    for path in sorted((drums / "examples").glob("*.flac"))
]
bank = audionmf.Templates.merge(banks)
picture = plot.templates(bank).figure
picture

# %%
# Saved and read again it is the same, and separates.
with tempfile.TemporaryDirectory() as folder:
    bank.save(Path(folder) / "drums.npz")
    stems = audionmf.separate(drums / "mixture.wav", templates=Path(folder) / "drums.npz")
stems
