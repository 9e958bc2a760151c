"""Small drawings between the words of a page, as SVG: how loud a stem is over time, shares."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["bar", "curve", "lane"]

_LANE_COLUMNS = 600


def lane(level: NDArray[Any]) -> str:
    """Return the level of a stem over time, 0 to 1, as a drawing as wide as it is put."""
    step = -(-len(level) // _LANE_COLUMNS)
    shown = np.maximum.reduceat(level, np.arange(0, len(level), step))
    upper = [f"{x} {50 - 48 * y:.1f}" for x, y in enumerate(shown)]
    lower = [f"{x} {50 + 48 * y:.1f}" for x, y in reversed(list(enumerate(shown)))]
    width = max(1, len(shown) - 1)
    path = f"M{'L'.join([*upper, *lower])}Z"
    return (
        f'<svg viewBox="0 0 {width} 100" preserveAspectRatio="none">'
        f'<path class="level" d="{path}"/></svg>'
    )


def curve(values: NDArray[np.float64], seconds: float) -> str:
    """Return shares of 0 to 1, one a second, as a drawing as wide as the time they cover."""
    columns = []
    for i, value in enumerate(values):
        if not np.isnan(value):
            height = 100 * float(np.clip(value, 0, 1))
            end = min(i + 1.0, seconds)
            columns.append(f"M{i} 100V{100 - height:.1f}H{end:.3f}V100Z")
    return (
        f'<svg viewBox="0 0 {max(seconds, 1e-3):.3f} 100" preserveAspectRatio="none">'
        f'<path class="share" d="{"".join(columns)}"/></svg>'
    )


def bar(share: float) -> str:
    """Return a share of 0 to 1 as a bar."""
    width = 100 * min(1.0, max(0.0, share))
    return (
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{width:.1f}" height="10"/></svg>'
    )
