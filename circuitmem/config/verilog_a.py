"""Tabulated laws of devices: from a class of the user's own, or from the user's Verilog-A model.

The text of a model is code that will run. A declaration names it by its SHA-256; the text itself is taken from the
user's cache, and is copied there when the user names the file in a command (:func:`remember_verilog`). So nobody else's
run folder or study can bring code along.
"""

from __future__ import annotations

import hashlib
import os
import re
from importlib import resources
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import pydantic
from numpy.typing import NDArray

from circuitmem import registry
from circuitmem.config.base import Spec
from circuitmem.config.cell import LinearCell
from circuitmem.config.quantity import Conductance, Duration, Voltage
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.files import write_bytes

__all__ = ["TabulatedSpec", "VerilogASpec", "VerilogModel", "cache_folder", "remember_verilog", "verilog_text"]

Floats = NDArray[np.float64]

SHIPPED = ("vteam", "yakopcic", "stanford", "taox")
"""Models that come with circuitmem: ``file = "taox"``."""

LARGEST_TEXT = 1 << 20
"""Largest size of a model [bytes]."""


def _like(pattern: str, what: str) -> pydantic.AfterValidator:
    """Make a check that a text matches a pattern."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {what}")
        return text

    return pydantic.AfterValidator(check)


_Name = Annotated[
    str, _like(r"[A-Za-z_][A-Za-z0-9_]{0,63}", "a name: a letter or _, then letters, digits and _, at most 64")
]
_Digest = Annotated[str, _like(r"[0-9a-f]{64}", "a SHA-256: 64 hexadecimal digits")]


class VerilogModel(Spec):
    """Declaration of a Verilog-A model, wherever it is used.

    Parameters
    ----------
    file : str
        Path of the Verilog-A, which becomes absolute; or the name of a model that comes with circuitmem.
    sha256 : str, optional
        SHA-256 of the file; filled in when it is left out.
    module : str, optional
        Name of the module; the only one of the file when left out.
    state : str
        The node whose voltage is the state: the model has ``V(state) <+ idt(rate, start);``.
    state_range : (float, float)
        Voltages of that node that are the states 0 and 1 [V].
    set_sign : {1, -1}
        Sign of a voltage from the first to the second terminal that raises the conductance.
    parameters : mapping of str to float
        Parameters of the model that differ from their defaults.
    error : float
        Largest relative error of currents and rates in the tables, in [1e-5, 0.1].
    """

    file: str
    sha256: _Digest | None = None
    module: _Name | None = None
    state: _Name = "x"
    state_range: tuple[float, float] = (0.0, 1.0)
    set_sign: Literal[1, -1] = 1
    parameters: dict[_Name, float] = pydantic.Field(default_factory=dict)
    error: float = pydantic.Field(default=1e-4, ge=1e-5, le=0.1)

    @pydantic.model_validator(mode="after")
    def _check_model(self) -> Self:
        low, high = self.state_range
        if not low < high:
            raise ValidationError("state_range", "must be (low, high) with low < high", self.state_range)
        # The spec is frozen but not finished yet: a SHA-256 that nobody declared is that of the file as it is now.
        if self.file not in SHIPPED:
            object.__setattr__(self, "file", str(Path(self.file).absolute()))
        if self.sha256 is None:
            object.__setattr__(self, "sha256", _digest(_read(self.file)))
        return self

    def __hash__(self) -> int:
        return hash(self.model_dump_json())


class TabulatedSpec(Spec):
    """A device whose law is tabulated; your own is a subclass with :meth:`law`, and a ``kind`` that names it.

    Parameters
    ----------
    kind : str
        ``"package.module:Name"`` of the class.
    positive_voltage, negative_voltage : float
        Largest magnitude of a voltage of each sign across the device [V], > 0.
    time : float
        Longest pulse [s]: for rates below a thousandth of its inverse, ``error`` is relative to that thousandth.
    conductance : float
        Smallest conductance of interest [S]: for currents of smaller ones, ``error`` is relative to the current of this
        one.
    set_sign : {1, -1}
        Sign of a voltage from word to bit line that raises the conductance.
    error : float
        Largest relative error of currents and rates, in [1e-5, 0.1].
    """

    kind: str
    positive_voltage: Voltage
    negative_voltage: Voltage
    time: Duration
    conductance: Conductance = 1e-7
    set_sign: Literal[1, -1] = 1
    error: float = pydantic.Field(default=1e-4, ge=1e-5, le=0.1)

    SOURCE: ClassVar[str] = "a law of the user"
    referees: ClassVar[tuple[str, ...]] = ()
    """Circuit simulators that have the device."""

    @property
    def cell(self) -> LinearCell:
        """The static law of a tile of such devices while it is read: ohmic, as they are at small voltages."""
        return LinearCell()

    def law(self, state: Floats, voltage: Floats) -> tuple[Floats, Floats]:
        """Return the current [A] and the rate of the state [1/s] for states 0 to 1 and voltages [V], (points,) each.

        The current has the sign of the voltage and rises with it; the conductance is monotonic in the state, and the
        state does not move at 0 V.
        """
        raise NotImplementedError


class VerilogASpec(TabulatedSpec, VerilogModel):
    """A device of a Verilog-A model: :class:`VerilogModel`, and what its tables are for, :class:`TabulatedSpec`.

    State s = (V(state) - low)/(high - low), for ``state_range`` (low, high).
    """

    kind: Literal["verilog-a"] = "verilog-a"

    SOURCE: ClassVar[str] = "a file of the user"
    referees: ClassVar[tuple[str, ...]] = ("vacask",)

    __hash__ = VerilogModel.__hash__

    def law(self, state: Floats, voltage: Floats) -> tuple[Floats, Floats]:
        """Return the current [A] and the rate [1/s] that VACASK computes."""
        found: tuple[Floats, Floats] = registry.load("circuitmem.engine:verilog_law", "device")(self, state, voltage)
        return found


def cache_folder() -> Path:
    """Return the folder of the user's cache that holds models and their tables.

    Raises
    ------
    DataFileError
        If it cannot be made.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "circuitmem" / "verilog-a"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataFileError(folder, f"cannot be made: {error.strerror}") from None
    return folder


def remember_verilog(file: str | os.PathLike[str], sha256: str | None = None) -> str:
    """Copy your own model into the cache, so that declarations may use it; returns its SHA-256.

    Parameters
    ----------
    file : path
        The Verilog-A. It is code: read somebody else's file before you use it.
    sha256 : str, optional
        SHA-256 that the file must have.

    Raises
    ------
    ValidationError
        If it cannot be read, or has another SHA-256.
    DataFileError
        If the cache cannot be written.
    """
    content = _read(os.fspath(file))
    found = _digest(content)
    if file in SHIPPED:
        return found
    if sha256 is not None and found != sha256:
        raise ValidationError("chip.device.sha256", f"must be {found}, that of {file} as it is now", sha256)
    kept = cache_folder() / f"{found}.va"
    if not kept.is_file():
        write_bytes(kept, content)
    return found


def verilog_text(spec: VerilogASpec) -> str:
    """Return the text of a model that the user has named.

    Raises
    ------
    ValidationError
        If the user never named such a file on this machine.
    """
    if spec.file in SHIPPED:
        content = _read(spec.file)
        if _digest(content) != spec.sha256:
            rule = f"must be {_digest(content)}, that of the model {spec.file} of this version"
            raise ValidationError("chip.device.sha256", rule, spec.sha256)
        return content.decode("ascii")
    kept = cache_folder() / f"{spec.sha256}.va"
    try:
        content = kept.read_bytes()
    except OSError:
        raise ValidationError("chip.device.file", _missing(spec), spec.file) from None
    if _digest(content) != spec.sha256:
        raise DataFileError(kept, "is corrupt: remove it")
    return content.decode("utf-8", "replace")


def _missing(spec: VerilogASpec) -> str:
    """Return the error's rule for a model that is not in the cache: what the user has to do."""
    path = Path(spec.file)
    try:
        there, same = path.is_file(), path.is_file() and _digest(_read(spec.file)) == spec.sha256
    except (OSError, ValueError):
        there, same = False, False
    if same:
        rule = "must be named in a command of yours first, circuitmem verilog-a CONFIG, once you have read it"
        return f"{rule}: this run or study brings no code"
    now = "the file has another text now" if there else "there is no such file"
    return f"must be what this run or study was made with, SHA-256 {spec.sha256}, which is not in your cache; {now}"


def _read(file: str) -> bytes:
    try:
        if file in SHIPPED:
            return resources.files("circuitmem.netlists.vacask").joinpath("models", f"{file}.va").read_bytes()
        content = Path(file).read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ValidationError(
            "file", f"must be Verilog-A that can be read, or one of {', '.join(SHIPPED)}: {why}", file
        ) from None
    if len(content) > LARGEST_TEXT or b"module" not in content:
        raise ValidationError("file", f"must be Verilog-A, at most {LARGEST_TEXT} bytes", file)
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
