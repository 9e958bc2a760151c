#!/usr/bin/env python3
"""Put the figures of several ways side by side: a row for each track, in Markdown.

    evaluate_tracks.py FOLDER --way blind --json blind.json
    evaluate_tracks.py FOLDER --way examples --json examples.json
    tabulate_tracks.py real blind=blind.json "by example=examples.json"
    tabulate_tracks.py real blind=blind.json -- rendered blind=others.json

A set of tracks is its name and, for each column, TITLE=FILE as evaluate_tracks.py or
evaluate_hints.py wrote it (FILE:KEY for another figure than SI-SDR, such as FILE:hinted); `--` comes
before a further set, which may lack columns. The best of each row is bold; the last column is the
oracle, where a file has it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

ORACLE = "oracle"
Figures = dict[str, dict[str, float]]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("given", nargs=argparse.REMAINDER, metavar="SET TITLE=FILE ...")
    sets: list[list[str]] = [[]]
    for text in parser.parse_args().given:
        if text == "--":
            sets.append([])
        else:
            sets[-1].append(text)
    if not all(len(one) >= 2 for one in sets):
        parser.error("a set is its name and at least one TITLE=FILE")
    read = {
        name: {title: figures(text) for title, text in map(split, rest)} for name, *rest in sets
    }
    titles = list(dict.fromkeys(title for columns in read.values() for title in columns))
    print(f"| | {' | '.join(titles)} | {ORACLE} |")
    print(f"|---|{'---|' * (len(titles) + 1)}")
    for name, columns in read.items():
        print("\n".join(rows(name, columns, titles)))


def split(text: str) -> tuple[str, str]:
    """Return the title and the file of a column."""
    title, _, path = text.partition("=")
    return title, path


def figures(text: str) -> dict[str, dict[str, float]]:
    """Return the figure and the oracle of each track."""
    path, _, key = text.partition(":")
    tracks = json.loads(Path(path).read_text())["tracks"]
    return {
        row["track"]: {"": row[key or "si_sdr"], **{k: row[k] for k in (ORACLE,) if k in row}}
        for row in tracks
    }


def rows(name: str, columns: dict[str, Figures], titles: list[str]) -> list[str]:
    """Return a row for each track of a set, and one with the means."""
    tracks = sorted({track for column in columns.values() for track in column})
    lines, table = [], []
    for track in tracks:
        cells = [columns.get(title, {}).get(track, {}).get("", np.nan) for title in titles]
        there = [
            column[track][ORACLE]
            for column in columns.values()
            if track in column and ORACLE in column[track]
        ]
        table.append([*cells, there[0] if there else np.nan])
        lines.append(line(track.replace("_", " "), table[-1]))
    numbers = np.array(table)
    means = [
        float(column[~np.isnan(column)].mean()) if (~np.isnan(column)).any() else np.nan
        for column in numbers.T
    ]
    counted = ["" if n in (0, len(tracks)) else f" ({n})" for n in (~np.isnan(numbers)).sum(axis=0)]
    return [*lines, line(f"**{name}, mean**", means, counted)]


def line(name: str, cells: list[float], counted: list[str] | None = None) -> str:
    """Return a row; the best but the oracle is bold, and where tracks lack it says how many had it."""
    best = np.nanmax(cells[:-1])
    texts = [
        "–" if np.isnan(cell) else f"**{cell:.1f}**" if cell == best and counted is None
        else f"{cell:.1f}" for cell in cells[:-1]
    ]  # fmt: skip
    texts.append("–" if np.isnan(cells[-1]) else f"{cells[-1]:.1f}")
    counted = counted or [""] * len(texts)
    told = [text + more for text, more in zip(texts, counted, strict=True)]
    return f"| {name} | {' | '.join(told)} |".replace("| -", "| −").replace("**-", "**−")


if __name__ == "__main__":
    main()
