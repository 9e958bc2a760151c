"""A file of machine code of another package, loaded without the package around it."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

__all__ = ["extension"]


def extension(
    package: str, folder: str, name: str, works: Callable[[ModuleType], bool]
) -> ModuleType | None:
    """Load a module of machine code that lies in a package, without what the package loads.

    Such places are not promised by a package: who asks must be able to do without.

    Parameters
    ----------
    package : str
        Where it lies. Neither it nor what is above it is loaded.
    folder : str
        Folder below that of the package; "" for none.
    name : str
        The module.
    works : callable
        Given the module, calls it as it will be called and tells whether the right thing comes out;
        a module that lacks a name or takes other arguments does not work.

    Returns
    -------
    module or None
        None where there is no such file, or what is in it does not work.
    """
    above, *below = package.split(".")
    found = importlib.util.find_spec(above)
    if found is None or found.origin is None:
        return None
    for ending in importlib.machinery.EXTENSION_SUFFIXES:
        path = Path(found.origin).parent.joinpath(*below, folder, f"{name}{ending}")
        if path.exists():
            return _loaded(".".join(filter(None, (package, folder, name))), path, works)
    return None


def _loaded(name: str, path: Path, works: Callable[[ModuleType], bool]) -> ModuleType | None:
    # By its full name Python knows it again when the package loads it: some machine code that is begun
    # twice in a process (SciPy 1.14's transforms) ends it with "free(): invalid pointer".
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        return None
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module if works(module) else None
    except (ImportError, AttributeError, TypeError, ValueError, RuntimeError):
        return None
