"""Patterns and moving templates step for step beside torchnmf's `NMFD` and `NMF2D`.

It updates W first where this package updates H first, so one factor at a time is let free there.
"""

import numpy as np
import pytest

from audionmf import nmf
from audionmf.nmf import convolutive
from audionmf.nmf.divergence import beta_divergence

torch = pytest.importorskip("torch", reason="PyTorch is not installed; .ci/run brings it")
theirs = pytest.importorskip("torchnmf.nmf", reason="torchnmf is not installed; .ci/run brings it")

N_ITER = 20


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def stepped(net, V):
    """Update H, then W, as often as we do; yield the model after each pair."""
    data = torch.tensor(V)
    for _ in range(N_ITER):
        for factor, other in ((net.H, net.W), (net.W, net.H)):
            factor.requires_grad_(True)
            other.requires_grad_(False)
            net.fit(data, beta=1, max_iter=1)
        yield net.reconstruct(net.H, net.W).detach().numpy()


def path(V, models):
    return [beta_divergence(V, model.reshape(V.shape), 1.0) for model in models]


def test_patterns_take_the_same_path_as_nmfd():
    rng = np.random.default_rng(0)
    n_bins, n_frames, n_lags, n_components = 12, 40, 4, 3
    V = rng.uniform(0.1, 2, (n_bins, n_frames))
    W, H = rng.uniform(0.1, 1, (n_lags, n_bins, n_components)), np.zeros((n_components, n_frames))
    # There patterns end within the recording.
    H[:, : n_frames - n_lags + 1] = rng.uniform(0.1, 1, (n_components, n_frames - n_lags + 1))
    found = convolutive.fit(
        V, n_components, n_lags, templates=W, activations=H, max_iter=N_ITER, tol=0
    )
    net = theirs.NMFD(
        W=torch.tensor(np.ascontiguousarray(W.transpose(1, 2, 0))),
        H=torch.tensor(H[None, :, : n_frames - n_lags + 1]),
    )
    np.testing.assert_allclose(found.divergence[1:], path(V, stepped(net, V[None])), rtol=1e-5)
    sums = net.W.detach().numpy().sum(axis=(0, 2))
    level = net.W.detach().numpy().transpose(2, 0, 1) / sums
    np.testing.assert_allclose(found.templates, level, rtol=1e-3, atol=1e-6)
    started = net.H.detach().numpy()[0] * sums[:, None]
    np.testing.assert_allclose(
        found.activations[:, : started.shape[1]], started, rtol=1e-3, atol=1e-4
    )


def test_moving_templates_take_the_same_path_as_nmf2d():
    rng = np.random.default_rng(1)
    n_bins, n_frames, n_shifts, n_components = 20, 30, 6, 2
    V = rng.uniform(0.1, 2, (n_bins, n_frames))
    W = rng.uniform(0.1, 1, (n_bins - n_shifts + 1, n_components))
    found = nmf.fit_shifted(
        V, n_components, n_shifts, templates=W, max_iter=N_ITER, tol=0, method="plain"
    )
    level = np.tile(V.sum(axis=0) / (n_components * n_shifts), (n_components, n_shifts, 1))
    net = theirs.NMF2D(
        W=torch.tensor(np.ascontiguousarray((W / W.sum(axis=0)).T[None, :, :, None])),
        H=torch.tensor(level[None]),
    )
    np.testing.assert_allclose(
        found.divergence[1:], path(V, stepped(net, V[None, None])), rtol=1e-5
    )
    sums = net.W.detach().numpy()[0, :, :, 0].sum(axis=1)
    np.testing.assert_allclose(
        found.templates, (net.W.detach().numpy()[0, :, :, 0] / sums[:, None]).T, rtol=1e-3,
        atol=1e-6,
    )  # fmt: skip
    np.testing.assert_allclose(
        found.activations, net.H.detach().numpy()[0] * sums[:, None, None], rtol=1e-3, atol=1e-4
    )
