"""Sums of neighbouring rows."""

import numpy as np
import pytest

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
