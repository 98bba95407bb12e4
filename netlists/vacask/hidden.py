"""Find the variables of a Verilog-A model that keep a value between evaluations: OpenVAF drops such values.

A variable that is read before it is assigned has its initial value. So the model is compiled three times with different
initial values, and the outputs of the compiler are compared: if they differ, an initial value reaches the result. The
same test with one variable at a time then shows which one.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

from circuitmem.errors import SpiceError
from circuitmem.netlists.vacask.installation import find_vacask

__all__ = ["hidden_variables"]

COMPILE_LIMIT = 60.0
"""Seconds that a model may take to compile."""
NAMING_LIMIT, NAMED = 10.0, 8
"""Seconds to spend on finding names, and number of names after which the search stops."""

_SEEDS = (
    {"real": "0.43219876", "integer": "3"},
    {"real": "1.25e300", "integer": "1234567891"},
    {"real": "-1.25e300", "integer": "-1234567891"},
)
_FUNCTION = re.compile(r"(\banalog\s+function\b.*?\bendfunction\b)", re.S)
_DECLARED = re.compile(r"((?:^|;|\*\)|\bbegin\b|\bend\b)\s*)(real|integer)\s+([^;()]*);")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def hidden_variables(text: str) -> list[str]:
    """Return the variables that keep a value, of a text without comments; ``"?"`` if they cannot be named.

    Raises
    ------
    SpiceUnavailableError
        If OpenVAF is not installed.
    SpiceError
        If the text does not compile; the compiler's own lines say why.
    """
    names = _variables(text)
    if not _depends(text, names):
        return []
    found: list[str] = []
    deadline = time.monotonic() + NAMING_LIMIT
    for name in names:
        if len(found) == NAMED or time.monotonic() > deadline:
            break
        if _depends(text, [name]):
            found.append(name)
    return found or ["?"]


def _variables(text: str) -> list[str]:
    listed = [names for _, _, names in _DECLARED.findall(_FUNCTION.sub(" ", text))]
    names = [part.partition("=")[0].strip() for each in listed for part in each.split(",")]
    return [name for name in dict.fromkeys(names) if re.fullmatch(r"\w+", name)]


def _depends(text: str, names: Collection[str]) -> bool:
    """Say whether the result depends on the initial values of these variables."""
    first, *others = (_constants(_seeded(text, names, values)) for values in _SEEDS)
    return any(other != first for other in others)


def _seeded(text: str, names: Collection[str], values: dict[str, str]) -> str:
    """Return the text with initial values for some variables; those of functions keep no values and are left alone."""

    def changed(found: re.Match[str]) -> str:
        parts = []
        for part in found[3].split(","):
            name = part.partition("=")[0].strip()
            parts.append(f"{name} = {values[found[2]]}" if name in names else part)
        return f"{found[1]}{found[2]} {', '.join(parts)};"

    pieces = _FUNCTION.split(text)
    pieces[::2] = [_DECLARED.sub(changed, piece) for piece in pieces[::2]]
    return "".join(pieces)


def _constants(text: str) -> list[str]:
    """Return the constants in the code that OpenVAF generates from a text, sorted."""
    compiler = find_vacask().compiler
    with tempfile.TemporaryDirectory(prefix="circuitmem-openvaf-") as folder:
        (Path(folder) / "model.va").write_text(text, "utf-8")
        # The kernel ends the compiler when this process dies.
        setpriv = shutil.which("setpriv")
        before = [] if setpriv is None else [setpriv, "--pdeathsig", "KILL", "--"]
        command = [*before, str(compiler), "--target_cpu", "generic", "--dump-mir", "model.va", "-o", "model.osdi"]
        environment = {"HOME": folder, "TMPDIR": folder, "PATH": "/usr/bin:/bin", "LC_ALL": "C"}
        try:
            done = subprocess.run(  # noqa: S603  (the installation's own program, and names made here)
                command, cwd=folder, env=environment, capture_output=True, check=False, timeout=COMPILE_LIMIT
            )
        except subprocess.TimeoutExpired:
            raise SpiceError(f"a model does not compile within {COMPILE_LIMIT:g} s", simulator="OpenVAF") from None
    output, errors = (_COLOURS.sub("", part.decode("utf-8", "replace")) for part in (done.stdout, done.stderr))
    if done.returncode != 0:
        lines = tuple(line.strip() for line in errors.splitlines() if line.strip())
        what = "OpenVAF crashed on a model" if done.returncode == 101 else "a model does not compile"
        raise SpiceError(what, lines[:8], "OpenVAF")
    _, _, body = output.partition("Optimized evaluation MIR")
    return sorted(re.findall(r"[fi]const\s+(\S+)", body.partition("\nModel setup HIR interner")[0]))
