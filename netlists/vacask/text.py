"""The text that VACASK reads: one way to write numbers, and a gate that lets no command through.

A netlist of VACASK can load native code, include files and run commands. No text from a user ever gets into one; the
gate is there in case somebody forgets that rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem.errors import ValidationError

__all__ = ["OPTIONS", "VacaskNetlist", "complete", "model_source", "quantities", "quantity", "vector", "vectors"]

OPTIONS = "reltol=1e-9 vntol=1e-12 nr_conviter=2 gmin=1e-18"
"""One Newton step more than needed (``nr_conviter``) refines linear solutions to rounding errors. ``abstol`` keeps its
default: a smaller one is below the rounding errors of wires of milliohms, and would never be met."""

_NAME = r"[a-z][a-z0-9_]*"
_MODEL_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
"""Name of a module or a parameter in a user's Verilog-A."""
_NUMBER = r"-?[0-9][0-9.e+-]*"
_VECTOR = rf"\[{_NUMBER}(?:,{_NUMBER})*\]"
_VALUE = rf'(?:{_NUMBER}|{_NAME}\[point\]|{_VECTOR}|"[a-z]+")'
_LINE = re.compile(
    rf"(?://[ -~]*"
    rf"|ground 0"
    rf'|load "(?:resistor|capacitor|spice/mos1|va/[a-z0-9_]+)\.osdi"'
    rf"|model {_NAME} {_MODEL_NAME}(?: {_MODEL_NAME}={_VALUE})*"
    rf"|subckt {_NAME}\({_NAME}(?: {_NAME})*\)|ends"
    rf"|{_NAME} \([a-z0-9_]+(?: [a-z0-9_]+)*\) {_NAME}(?: {_MODEL_NAME}={_VALUE})*)"
)
_OUTPUT = re.compile(rf"{_NAME}(#branch)?")
_OPTION = re.compile(rf"{_NAME}=(?:{_NUMBER}|\"[a-z]+\")")


def quantity(value: float) -> str:
    """Return ``value`` as text that reads back as the same real number, never as an integer: there ``1/2`` is 0.

    Raises
    ------
    ValidationError
        If it is not a finite real number.
    """
    return quantities([value])[0]


def quantities(values: ArrayLike) -> list[str]:
    """Return the texts of a flattened array of numbers; errors as in :func:`quantity`."""
    return [repr(value) for value in _normal(np.ravel(values)).tolist()]


def vectors(table: ArrayLike) -> list[str]:
    """Return the rows of a table of numbers as vectors of VACASK; errors as in :func:`quantity`."""
    return [str(row).replace(" ", "") for row in _normal(np.asarray(table)).tolist()]


def vector(values: ArrayLike) -> str:
    """Return numbers as a vector of VACASK; errors as in :func:`quantity`."""
    return vectors(np.ravel(values)[None])[0]


def _normal(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return numbers with 0 in place of subnormal ones, which VACASK refuses."""
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValidationError("netlist value", "must be finite", float(array[~np.isfinite(array)][0]))
    return np.where(np.abs(array) < np.finfo(np.float64).tiny, 0.0, array)


@cache
def model_source(name: str) -> str:
    """Return the Verilog-A of a model that comes with circuitmem, ``models/NAME.va``."""
    return files("circuitmem.netlists.vacask").joinpath("models", f"{name}.va").read_text("ascii")


def complete(
    text: str, inputs: Sequence[str], outputs: Sequence[str], table: NDArray[np.float64], analysis: Mapping[str, Any]
) -> str:
    """Return the whole file: title, values of the inputs, circuit, and commands of the analysis."""
    sweep = analysis["kind"] == "sweep"
    lines = ["circuitmem\n"]
    values = vectors(table.T) if inputs else []
    lines += [f"parameters in_{name}={column}\n" for name, column in zip(inputs, values, strict=True)]
    saved = (f"i({name.removesuffix('#branch')})" if name.endswith("#branch") else f"v({name})" for name in outputs)
    lines += [text, "control\n  abort always\n", f'  options rawfile="binary" {analysis["options"]}\n']
    lines.append(f"  save {' '.join(saved)}\n")
    if sweep:
        points = ",".join(str(point) for point in range(len(table)))
        lines.append(f'  var point=0\n  sweep point variable="point" values=[{points}] continuation=0\n')
        lines.append("  analysis answer op\n")
    else:
        step, stop, _, *largest = (quantity(time) for time in analysis["times"])
        limit = f" maxstep={largest[0]}" if largest else ""
        start = ' icmode="uic"' if analysis["initial"] else ""
        lines.append(f"  analysis answer tran step={step} stop={stop}{limit}{start}\n")
    lines.append("endc\n")
    return "".join(lines)


@dataclass(frozen=True)
class VacaskNetlist:
    """A circuit ready to be simulated by VACASK.

    Attributes
    ----------
    text : str
        Its lines. An input ``x`` is a source whose voltage is ``in_x[point]``.
    inputs : tuple of str
        Names of these sources.
    outputs : tuple of str
        Node names, and ``vname#branch`` for the current through a source, from its positive end.
    options : str
        Options of VACASK.
    models : mapping of str to str
        Verilog-A to compile: the text of each file that the netlist loads as ``va/NAME.osdi``.

    Raises
    ------
    ValidationError
        If a name, an option or a line is not of the kind that the generators write.
    """

    text: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: str = OPTIONS
    models: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """Options and models."""
        return {"options": self.options, "models": dict(self.models)}

    def __post_init__(self) -> None:
        for name in (*self.inputs, *self.models):
            if not re.fullmatch(_NAME, name):
                raise ValidationError("netlist input", "must match [a-z][a-z0-9_]*", name)
        for name in self.outputs:
            if not _OUTPUT.fullmatch(name):
                raise ValidationError("netlist output", "must match [a-z][a-z0-9_]*(#branch)?", name)
        for option in self.options.split(" "):
            if not _OPTION.fullmatch(option):
                raise ValidationError("netlist option", "must be a name and a number", option)
        if not self.text.endswith("\n"):
            raise ValidationError("netlist text", "must end with a line break", self.text[-20:])
        for line in self.text[:-1].split("\n"):
            if not _LINE.fullmatch(line):
                raise ValidationError("netlist text", "must be made of elements and comments", line)
        for name in re.findall(r'^load "va/([a-z0-9_]+)\.osdi"$', self.text, re.M):
            if name not in self.models:
                raise ValidationError("netlist text", "must load models that it has", name)
