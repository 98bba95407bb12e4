"""Tell whether the compiled kernels match the sources beside them. ``setup.py`` runs this file, so it imports little.

A checkout can be newer than its kernels. The kernels then give other results than the sources would; or they are
missing, and the NumPy twins stand in for them: slower, and not always with the same bits.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["FOLDER", "digest"]

FOLDER = Path(__file__).parent.parent.parent / "cython_ext"
"""Where the sources of the kernels are, if this is a checkout."""


def digest(folder: Path) -> str:
    """Return the SHA-256 of all sources of the kernels in ``folder`` and the folders in it, 16 hexadecimal digits."""
    found = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".pyx", ".pxd", ".h")):
        found.update(
            path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n") + b"\0"
        )
    return found.hexdigest()[:16]
