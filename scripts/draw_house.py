#!/usr/bin/env python3
"""Draw the wings of the package, and who imports whom, from the imports: docs/house.png and -dark."""

from __future__ import annotations

import argparse
import ast
import re
from collections import Counter
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "audionmf"
THEMES = {
    "": {"ground": "#ffffff", "box": "#eef1f6", "edge": "#8a93a3", "text": "#1c1e22"},
    "-dark": {"ground": "#16181d", "box": "#252a33", "edge": "#6f7b8f", "text": "#e8eaee"},
}
STRONG = "#d9822b"


def wings() -> list[str]:
    """Return the wings, lowest first, as the test of the house has them."""
    text = (ROOT / "tests" / "test_house.py").read_text("utf-8")
    found = re.search(r"WINGS = \((.*?)\)", text, re.DOTALL)
    if found is None:
        raise SystemExit("tests/test_house.py names no wings")
    return re.findall(r'"(\w+)"', found.group(1))


def files_of(wing: str) -> list[Path]:
    """Return the Python files of a wing."""
    single = PACKAGE / f"{wing}.py"
    return [single] if single.exists() else sorted((PACKAGE / wing).rglob("*.py"))


def arrows(order: list[str]) -> Counter[tuple[str, str]]:
    """Count the imports of one wing from another."""
    found: Counter[tuple[str, str]] = Counter()
    for wing in order:
        for path in files_of(wing):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("audionmf"):
                    module = f"{node.module}.{node.names[0].name}"
                    other = module.split(".")[1]
                    if other in order and other != wing:
                        found[wing, other] += 1
    return found


def draw(path: Path, theme: dict[str, str], order: list[str]) -> None:
    """Draw each wing as a floor with its size, and arcs to the wings that it imports from."""
    figure = Figure(figsize=(6.4, 0.5 * len(order) + 0.6), facecolor=theme["ground"])
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 9.8), ylim=(-0.6, len(order) - 0.2))
    axes.axis("off")
    counts = arrows(order)
    for (wing, other), count in sorted(counts.items()):
        if other in ("errors", "settings"):  # everybody does
            continue
        high, low = order.index(wing), order.index(other)
        bend = 0.25 + 0.32 * (high - low)
        axes.annotate(
            "", (7.05, low), (7.05, high),
            arrowprops={
                "arrowstyle": "->", "color": STRONG if count >= 8 else theme["edge"],
                "alpha": 0.85 if count >= 8 else 0.4, "linewidth": 0.6 + 0.08 * min(count, 15),
                "connectionstyle": f"arc3,rad={-min(bend / (0.6 + high - low), 0.75):.3f}",
            },
        )  # fmt: skip
    for place, wing in enumerate(order):
        lines = sum(len(path.read_text("utf-8").splitlines()) for path in files_of(wing))
        box = FancyBboxPatch(
            (0.3, place - 0.36), 6.7, 0.72, boxstyle="round,pad=0,rounding_size=0.12",
            facecolor=theme["box"], edgecolor=theme["edge"], linewidth=0.8,
        )  # fmt: skip
        axes.add_patch(box)
        style = {"color": theme["text"], "va": "center", "fontsize": 11}
        axes.text(0.6, place, wing, fontweight="bold", **style)
        axes.text(6.8, place, f"{lines:,} lines", ha="right", **(style | {"fontsize": 9}))
    figure.savefig(path, dpi=140, facecolor=theme["ground"], metadata={"Software": None})


def main() -> None:
    """Draw both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "docs", metavar="FOLDER")
    options = parser.parse_args()
    order = wings()
    for suffix, theme in THEMES.items():
        draw(options.out / f"house{suffix}.png", theme, order)


if __name__ == "__main__":
    main()
