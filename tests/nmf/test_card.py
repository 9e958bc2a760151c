"""On a device the factorisations end where the processor's end, but for rounding.

PyTorch's device for the processor stands for a card; where there is a card, it is tried too.
"""

import sys

import numpy as np
import pytest

from audionmf import nmf
from audionmf.errors import MissingExtraError, ParameterError
from audionmf.nmf.drawn import fit_drawn
from audionmf.nmf.equalise import fit_equalised

torch = pytest.importorskip("torch", reason="PyTorch is not installed; .ci/run brings it")
DEVICES = ["torch", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


def data(n_bins=70, n_frames=300, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    W, H = rng.random((n_bins, 5)) ** 4, rng.random((5, n_frames)) ** 4
    V = (W @ H + 0.01 * rng.random((n_bins, n_frames))).astype(dtype)
    V[:, 40:45] = 0  # silence inside
    V[3] = 0
    return V


def close(found, wanted, share=1e-4):
    assert found.dtype == wanted.dtype
    assert np.abs(found - wanted).max() <= share * np.abs(wanted).max()


@pytest.mark.parametrize("beta", [1, 2, 0, 0.5, 1.5, 3])
def test_plain_updates_agree_for_any_beta(device, beta):
    V = data()
    options = {"beta": beta, "max_iter": 15, "tol": 0, "method": "plain"}
    here, there = nmf.fit(V, 4, **options), nmf.fit(V, 4, device=device, **options)
    np.testing.assert_allclose(there.divergence, here.divergence, rtol=1e-4)
    close(there.templates, here.templates)
    close(there.activations, here.activations)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_accelerated_updates_agree_and_never_rise(device, dtype):
    V = data(dtype=dtype)
    here, there = (nmf.fit(V, 4, max_iter=60, tol=0, device=d) for d in ("cpu", device))
    assert there.divergence[-1] == pytest.approx(here.divergence[-1], rel=1e-4)
    assert (np.diff(there.divergence) <= 0).all()
    model = there.templates @ there.activations
    close(model, here.templates @ here.activations, 1e-3)
    assert nmf.beta_divergence(V, model.astype(float)) == pytest.approx(
        there.divergence[-1], rel=1e-4
    )


def test_a_start_on_sums_goes_by_a_device_too(device):
    V = data(600, 4100)
    here, there = (nmf.fit(V, 3, max_iter=40, tol=0, device=d) for d in ("cpu", device))
    assert there.divergence[-1] == pytest.approx(here.divergence[-1], rel=1e-3)


def test_what_is_fixed_stays(device):
    V, rng = data(), np.random.default_rng(1)
    W, H = rng.random((70, 2)).astype(np.float32), rng.random((4, 300)).astype(np.float32)
    model = nmf.fit(V, 4, templates=W, fixed_templates=True, max_iter=8, device=device)
    np.testing.assert_array_equal(model.templates[:, :2], W)
    model = nmf.fit(V, 4, activations=H, fixed_activations=True, max_iter=8, device=device)
    np.testing.assert_array_equal(model.activations, H)


@pytest.mark.parametrize("beta", [1, 2])
def test_activations_agree(device, beta):
    V, rng = data(), np.random.default_rng(2)
    W = rng.random((70, 6)).astype(np.float32) ** 3
    W[:, 4] = 0  # a silent template
    here, there = (nmf.activate(V, W, beta=beta, device=d) for d in ("cpu", device))
    close(there, here, 1e-3)
    if beta == 1:
        penalties = rng.random(6)
        here, there = (nmf.activate(V, W, penalties=penalties, device=d) for d in ("cpu", device))
        close(there, here, 1e-3)


def test_a_frame_does_not_depend_on_those_it_comes_with(device):
    V, W = data(), np.random.default_rng(3).random((70, 6)).astype(np.float32)
    whole = nmf.activate(V, W, device=device)
    close(nmf.activate(V[:, 60:190], W, device=device), whole[:, 60:190], 1e-5)


def test_channels_agree(device):
    tensor = np.stack([data(seed=0), 0.5 * data(seed=0) + 0.2 * data(seed=1)]).astype(np.float32)
    here, there = (
        nmf.fit_channels(tensor, 4, max_iter=20, tol=0, device=d) for d in ("cpu", device)
    )
    assert there.divergence[-1] == pytest.approx(here.divergence[-1], rel=1e-4)
    close(there.gains, here.gains, 1e-3)


def test_equalised_and_drawn_templates_agree(device):
    V, rng = data(), np.random.default_rng(4)
    W = (rng.random((70, 6)) ** 3).astype(np.float32)
    W /= W.sum(axis=0)
    penalties = np.full(6, 0.05)
    here, there = (
        fit_equalised(V, W, [0, 0, 0, 1, 1, 1], np.eye(70), penalties=penalties, device=d)
        for d in ("cpu", device)
    )
    np.testing.assert_array_equal(there.kept, here.kept)
    close(there.gains, here.gains, 1e-3)
    close(there.activations, here.activations, 1e-3)
    start = np.ones((6, 300), np.float32)
    ours, theirs = (fit_drawn(V, W, start, penalties=penalties, device=d) for d in ("cpu", device))
    close(theirs[0], ours[0], 1e-3)
    close(theirs[1], ours[1], 1e-3)


def test_products_are_in_full_precision_and_what_was_set_is_put_back(device):
    torch.set_float32_matmul_precision("medium")
    seen = []
    try:
        nmf.fit(
            data(), 2, max_iter=2, device=device,
            callback=lambda _: seen.append(torch.get_float32_matmul_precision()),
        )  # fmt: skip
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert set(seen) == {"highest"}


@pytest.mark.parametrize("wrong", ["gpu", "cuda:x", "cuda:", "", 0, None])
def test_a_device_that_is_none_is_refused(wrong):
    with pytest.raises(ParameterError, match="device must be 'cpu', 'cuda'"):
        nmf.fit(data(), 2, device=wrong)


def test_a_card_that_is_not_there_is_named():
    with pytest.raises(ParameterError, match=r"cannot use the device 'cuda:99'.*'cpu'"):
        nmf.activate(data(), np.ones((70, 2)), device="cuda:99")


def test_penalties_are_for_the_processor(device):
    with pytest.raises(ParameterError, match="leave device at 'cpu'"):
        nmf.fit(data(), 2, penalties=nmf.Penalties(sparsity=1.0), device=device)


def test_without_pytorch_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'audionmf\[gpu\]'"):
        nmf.fit(data(), 2, device="cuda")
