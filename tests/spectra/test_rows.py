"""Sums of neighbouring rows."""

import numpy as np
import pytest

from audionmf.spectra import rows
from audionmf.spectra.rows import rows_summed


@pytest.mark.parametrize(
    "edges",
    [[0], range(9), [0, 1, 2, 3], [0, 1, 2, 3, 8], [0, 2, 3, 4], [0, 4], [0, 1, 5, 6, 7, 8]],
)
@pytest.mark.parametrize("layout", [np.asfortranarray, np.ascontiguousarray])
def test_rows_are_added_up_group_by_group(edges, layout):
    V = layout(np.random.default_rng(0).random((9, 5)).astype(np.float32))
    sums = rows_summed(V, np.array(edges))
    np.testing.assert_allclose(sums, np.add.reduceat(V, edges, axis=0), rtol=1e-6)
    assert sums.T.flags.c_contiguous
    assert sums.dtype == np.float32


@pytest.mark.parametrize("n_frames", [1, 3, 4, 5, 8])
def test_machine_code_stays_within_its_frames(n_frames):
    run = rows._code()
    if run is None:
        pytest.skip("there is no compiler here")
    V = np.random.default_rng(0).random((n_frames, 9)).astype(np.float32)
    edges, sums = np.array([0, 2, 3, 9]), np.full((n_frames + 4, 3), -1, np.float32)
    run(V.ctypes.data, 9, n_frames, edges.ctypes.data, 3, sums.ctypes.data)
    expected = np.add.reduceat(V, edges[:3], axis=1)
    np.testing.assert_allclose(sums[:n_frames], expected, rtol=1e-6)
    assert (sums[n_frames:] == -1).all()


def test_nothing_has_no_sums():
    assert rows_summed(np.zeros((9, 0), np.float32), np.array([0, 4])).shape == (2, 0)


def test_a_frozen_program_sums_rows_without_machine_code(monkeypatch):
    monkeypatch.setattr(rows, "__file__", "nowhere/rows.py")
    assert rows._code.__wrapped__() is None
