"""The README as the package index shows it: links that lead out of the repository do not break there.

A wheel has no docs/ and no pictures beside its description. Where pyproject.toml names a repository
(``Source`` in ``[project.urls]``), relative links become links into it; as long as it names none,
a link becomes its text and the name of the file in the source, and pictures are left out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_PICTURE = re.compile(r"!\[[^\]]*\]\((?!https?:)[^)]*\)\n*")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)]*)\)")


def described(text: str, source: str = "") -> str:
    """Return a README without relative links; `source` is the address of the repository, if any."""
    if source:
        base = source.rstrip("/")

        def absolute(found: re.Match[str]) -> str:
            picture, words, path = found.groups()
            return f"{picture}[{words}]({base}/{'raw' if picture else 'blob'}/HEAD/{path})"

        return _LINK.sub(absolute, text)
    return _LINK.sub(r"\2 (`\3` in the source)", _PICTURE.sub("", text))


class Description(MetadataHookInterface):
    """Sets the description of the package when it is built."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Put the README into the metadata."""
        text = Path(self.root, "README.md").read_text("utf-8")
        source = metadata.get("urls", {}).get("Source", "")
        metadata["readme"] = {"content-type": "text/markdown", "text": described(text, source)}


def get_metadata_hook() -> type[MetadataHookInterface]:
    """Name the hook for hatchling."""
    return Description
