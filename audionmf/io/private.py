"""A folder for compiled code that nobody else can put code into."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

__all__ = ["any_writable", "private_folder"]


def any_writable(folders: Iterable[Path]) -> bool:
    """Say whether a file can be written in any of some folders; missing ones are made."""
    for folder in folders:
        with contextlib.suppress(OSError, RuntimeError):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return True
    return False


def private_folder() -> Path | None:
    """Make a folder for compiled code that nobody else can put code into; None if there is none.

    It lies below the folder for temporary files, and is for users who have no other.
    """
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir(), f"audionmf-code-{owner}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    if not stat.S_ISDIR(status.st_mode) or not any_writable([folder]):
        return None
    if hasattr(os, "getuid") and (
        status.st_uid != os.getuid() or status.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    ):
        return None
    return folder
