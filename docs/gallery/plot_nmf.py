"""
The factorisation alone
=======================

:func:`audionmf.nmf.fit` factorises any non-negative matrix. Its iterations never raise the
divergence; the accelerated ones come further in each, by going on a little in the direction of
the last one.
"""

import matplotlib.pyplot as plt
import numpy as np

from audionmf import nmf

random = np.random.default_rng(0)
W, H = random.gamma(0.3, size=(200, 6)), random.gamma(0.3, size=(6, 500))
V = W @ H + 0.01 * random.random((200, 500))

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for method in ("plain", "accelerated"):
    for seed in range(3):
        model = nmf.fit(V, 6, method=method, seed=seed, tol=0, max_iter=150)
        axes.semilogy(
            model.divergence,
            color="#6b7a90" if method == "plain" else "#d1495b",
            label=method if seed == 0 else None,
        )
axes.set(xlabel="iteration", ylabel="Kullback–Leibler divergence")
axes.legend()
axes.grid(alpha=0.3)

# %%
# Activations of templates that are known are a problem of their own, convex, and quicker.
H = nmf.activate(V, model.templates)
left = nmf.beta_divergence(V, model.templates @ H)
print(f"activations {H.shape}, divergence {left:.2f}")
