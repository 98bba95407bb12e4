"""Which code computed a point: results of different versions must not be mixed unnoticed."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import circuitmem

__all__ = ["code_fingerprint"]

UNSEEN = {"cli", "console", "doctor.py", "report"}
"""Modules above a study, which cannot change its numbers."""
OF_STUDY = {"point.py", "spec.py"}
"""Modules of this package that can."""


@cache
def code_fingerprint() -> str:
    """Return the version and a digest of all modules and compiled kernels that can change a point, ``"0.1.0+1f2e..."``.

    Kernels that were compiled differently count as other code: the last bits of their results may differ.
    """
    package = Path(circuitmem.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        parts = path.relative_to(package).parts
        seen = parts[0] not in UNSEEN and (parts[0] != "study" or parts[-1] in OF_STUDY)
        if seen and path.name.endswith((".py", *EXTENSION_SUFFIXES)):
            digest.update("/".join(parts).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return f"{circuitmem.__version__}+{digest.hexdigest()[:12]}"
