"""The text that ngspice reads: one way to write numbers, and a gate that lets no command through.

ngspice executes what it finds in titles, in ``*#`` comments, in ``.control`` blocks and in ``.include``d files. No
text from a user ever gets into a netlist; the gate is there in case somebody forgets that rule.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from circuitmem.errors import ValidationError

__all__ = ["OPTIONS", "TITLE", "Netlist", "number", "number_texts"]

OPTIONS = ".options reltol=1e-9 abstol=1e-15 vntol=1e-12 gmin=1e-18"
"""Tight tolerances: linear tiles do not need them; cells with a sinh law agree to 1e-10 because of them."""

TITLE = "circuitmem"

_NAME = re.compile(r"[A-Za-z0-9_]+")
_VECTOR = re.compile(r"[A-Za-z0-9_]+(#branch)?")
_PARAMETERS = r"(?: PARAMS:(?: [a-z0-9_]+=[0-9.e+-]+)+)?"
_MODELS = r"(?:nmos|pmos|adc_bridge|dac_bridge|d_dff)"
"""Kinds of models that the generators write. Some others run programs (d_process) or read files (filesource)."""

_COMMAND = re.compile(
    rf"^[ \t]*(?:\*#|\+ *[.*#]|\*ng_script|\.(?!(?:title {TITLE}|subckt [a-z0-9_ ]+{_PARAMETERS}"
    rf"|ends [a-z0-9_]+|model [a-z_]+ {_MODELS}\([a-z0-9_=. -]*\)|options [a-z0-9=. -]+|save .*|end)$))",
    re.M,
)
_STRANGE = re.compile(r"^(?! *\*)(?! *(?:[A-Za-z.+][A-Za-z0-9_ .,+*/()=:{}#<>?\[\]^-]*)?$).*", re.M)
"""A line that is neither a comment nor made of the characters that elements use."""

_FOREIGN = re.compile(r"[^\n -~]|[;`$\\]")


def number(value: float) -> str:
    """Return ``value`` as text that reads back as the same number.

    Raises
    ------
    ValidationError
        If it is not a finite real number.
    """
    return number_texts([value])[0]


def number_texts(values: ArrayLike) -> list[str]:
    """Return the texts of a flattened array of numbers; errors as in :func:`number`."""
    array = np.asarray(values, dtype=np.float64).ravel()
    if not np.isfinite(array).all():
        raise ValidationError("netlist value", "must be finite", float(array[~np.isfinite(array)][0]))
    # tolist() gives Python floats: the text of a NumPy scalar would be "np.float64(...)".
    return [f"{value:.17g}" for value in array.tolist()]


@dataclass(frozen=True)
class Netlist:
    """A circuit ready to be simulated.

    Attributes
    ----------
    text : str
        The complete netlist, from ``.title`` to ``.end``. Each input ``x`` is a voltage source ``Vx x 0 external``;
        a source ``Vpoint`` is swept over the index of the input vectors.
    inputs : tuple of str
        Names of the external sources and of the nodes that they drive.
    outputs : tuple of str
        Vectors to fetch: node names, and ``vname#branch`` for the current through a source.

    Raises
    ------
    ValidationError
        If a name or a line is not of the kind that the generators write.
    """

    text: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """Empty: all options are in the text."""
        return {}

    def __post_init__(self) -> None:
        # ngspice takes any first line as the title, and some titles as commands.
        if not self.text.startswith(f".title {TITLE}\n"):
            raise ValidationError("netlist text", f"must begin with .title {TITLE}", self.text.split("\n", 1)[0])
        for name in self.inputs:
            if not _NAME.fullmatch(name):
                raise ValidationError("netlist input", "must match [A-Za-z0-9_]+", name)
        for name in self.outputs:
            if not _VECTOR.fullmatch(name):
                raise ValidationError("netlist output", "must match [A-Za-z0-9_]+(#branch)?", name)
        for pattern, rule in (
            (_COMMAND, "must have no commands"),
            (_FOREIGN, "must be plain text"),
            (_STRANGE, "must be made of elements and comments"),
        ):
            found = pattern.search(self.text)
            if found:
                line = self.text[found.start() :].lstrip("\n").split("\n", 1)[0]
                raise ValidationError("netlist text", rule, line)
