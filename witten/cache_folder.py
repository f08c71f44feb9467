"""Where compiled kernels, compiled forms and fonts are kept if neither the package nor the home can be written.

Loaded by `import witten` in that case alone. Numba would refuse to define a kernel, FFCx to compile a form, and
matplotlib would complain.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

__all__ = ["provide"]


def provide(package: str) -> None:
    """Tell the libraries to keep what they compile in a temporary folder of this user's, unless the user's cache can be
    written; Numba keeps it in the package where that can be. What the user has set stands."""
    if _writable(Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))):
        return
    folder = _private()
    os.environ["XDG_CACHE_HOME"] = str(folder)
    os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))
    if not os.access(package, os.W_OK):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(folder / "numba"))


def _writable(folder: Path) -> bool:
    """Whether a folder is there, made if it is not, and can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _private() -> Path:
    """A folder that this user alone can write, the same for all processes: what lies in it is run. Where somebody else
    has taken its name, one for this process."""
    user = getattr(os, "getuid", int)()  # Windows has no owners: 0, as its files say
    folder = Path(tempfile.gettempdir()) / f"witten-{user}"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or (others and os.name == "posix"):
            return Path(tempfile.mkdtemp(prefix="witten-"))
    return folder
