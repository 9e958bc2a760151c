#!/usr/bin/env python3
"""Separate a mixture, given a recording of each instrument alone. Copy and change as you like.

separate_by_example.py MIXTURE NAME=EXAMPLE [NAME=EXAMPLE ...]
"""

import sys

import audionmf


def main(mixture_path: str, pairs: list[str]) -> None:
    """Separate and save the stems in the folder ``separated``."""
    examples = dict(pair.split("=", 1) for pair in pairs)
    separation = audionmf.separate(mixture_path, examples=examples)
    for name, samples in separation.sources.items():
        level = float((samples**2).mean()) ** 0.5
        print(f"{name}: {samples.shape[1] / separation.sample_rate:.1f} s, level {level:.4f}")
    files = separation.save("separated", pattern="{track}/{source}.{ext}")
    print("written:", *files.paths.values(), sep="\n  ")


if __name__ == "__main__":
    if len(sys.argv) < 3 or not all("=" in pair for pair in sys.argv[2:]):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
