"""What is told of the package where it is published: addresses, and a README whose links work there.

Nothing here names a place. Whoever builds says where the source is: ``AUDIONMF_SOURCE_URL``, or else
git's remote ``origin`` where that is a public host. From it come the addresses of the project (Source,
Documentation, Changelog, Issues), and the README's relative links become links into the repository;
a wheel has no docs/ and no pictures beside its description. Paths are those of GitHub and GitLab;
``AUDIONMF_DOCUMENTATION_URL`` names the pages where they are served elsewhere. Without an address
nothing is named: a link becomes its text and the name of the file in the source, and pictures are
left out.
"""

from __future__ import annotations

import ipaddress
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hatchling.metadata.plugin.interface import MetadataHookInterface

SOURCE, DOCUMENTATION = "AUDIONMF_SOURCE_URL", "AUDIONMF_DOCUMENTATION_URL"

_PICTURE = re.compile(r"!\[[^\]]*\]\((?!https?:)[^)]*\)\n*")
_PICTURE_TAGS = re.compile(r"<picture>.*?</picture>\n*", re.DOTALL)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)]*)\)")
_TAG = re.compile(r'\b(src|srcset)="(?!https?:)([^"]*)"')
_SHORT_SSH = re.compile(r"(?:[\w.-]+@)?([\w.-]+):(?!/)(.+)")
_LOCAL = (".local", ".internal", ".lan", ".home", ".localdomain", ".localhost", ".test", ".invalid")


def described(text: str, source: str = "") -> str:
    """Return a README without relative links; `source` is the address of the repository, if any."""
    if source:

        def absolute(found: re.Match[str]) -> str:
            picture, words, path = found.groups()
            return f"{picture}[{words}]({source}/{'raw' if picture else 'blob'}/HEAD/{path})"

        return _TAG.sub(rf'\1="{source}/raw/HEAD/\2"', _LINK.sub(absolute, text))
    text = _PICTURE_TAGS.sub("", _PICTURE.sub("", text))
    return _LINK.sub(r"\2 (`\3` in the source)", text)


def addresses(source: str, documentation: str = "") -> dict[str, str]:
    """Return the addresses of a project whose repository is at `source`; none without one."""
    urls = {
        "Source": source,
        "Documentation": documentation or (source and f"{source}/blob/HEAD/docs/index.md"),
        "Changelog": source and f"{source}/blob/HEAD/CHANGELOG.md",
        "Issues": source and f"{source}/issues",
    }
    return {label: address for label, address in urls.items() if address}


def public_address(remote: str) -> str:
    """Return the https address of a git remote; an empty text for a path or a host that is not public.

    What a remote may hold beside host and path (names, passwords, ports of ssh) does not go on.
    """
    remote = remote.strip()
    if "://" not in remote and (short := _SHORT_SSH.fullmatch(remote)):
        remote = f"ssh://{short[1]}/{short[2]}"
    try:
        parts = urlsplit(remote)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    path = parts.path.strip("/").removesuffix(".git")
    if parts.scheme not in ("https", "ssh") or not path or not _is_public(host):
        return ""
    shown = f"{host}:{port}" if port and parts.scheme == "https" else host
    return f"https://{shown}/{path}"


def _is_public(host: str) -> bool:
    if "." not in host or host.endswith(_LOCAL):
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return True


def source_address(root: Path, environment: Mapping[str, str]) -> str:
    """Return where the source is: what the builder says, else what git says; may be empty.

    Raises
    ------
    ValueError
        If what the builder says is no address.
    """
    if SOURCE in environment:
        return _given(SOURCE, environment)
    if not (root / ".git").exists():  # a repository around it is another one
        return ""
    try:
        asked = ("git", "-C", str(root), "config", "--get", "remote.origin.url")
        told = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:  # there is no git
        return ""
    return public_address(told.stdout)


def _given(name: str, environment: Mapping[str, str]) -> str:
    value = environment.get(name, "").strip().rstrip("/")
    if value and not re.fullmatch(r"https?://[^\s/()<>\"]+(/[^\s()<>\"]*)?", value):
        raise ValueError(f"{name} is an address such as https://host/owner/audionmf, not {value!r}")
    return value


class Description(MetadataHookInterface):
    """Sets the description and the addresses of the package when it is built."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Put the README and the addresses into the metadata."""
        if "readme" in metadata:  # out of an sdist: what that was built with
            return
        source = source_address(Path(self.root), os.environ)
        text = Path(self.root, "README.md").read_text("utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": described(text, source)}
        metadata["urls"] = addresses(source, _given(DOCUMENTATION, os.environ))


def get_metadata_hook() -> type[MetadataHookInterface]:
    """Name the hook for hatchling."""
    return Description
