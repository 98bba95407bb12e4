"""Declared programming: pulses on the lines of a tile, whose devices follow a differential equation."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pydantic
from numpy.typing import ArrayLike, NDArray

from circuitmem.config.base import Spec
from circuitmem.config.ode_device import OdeDevice
from circuitmem.config.tile import TileSpec
from circuitmem.errors import ValidationError

__all__ = ["Pulse", "PulseTrain"]

Floats = NDArray[np.float64]

_SCHEMES: dict[str, tuple[float, float]] = {"v/2": (0.5, 0.5), "v/3": (1.0 / 3.0, 2.0 / 3.0), "1t1r": (0.0, 1.0)}
"""Voltages of unselected word lines and of unselected bit lines, relative to the amplitude."""


class Pulse(Spec):
    """One trapezoidal pulse on selected cells of a tile.

    Selected word lines get the amplitude, selected bit lines stay at 0 V. Unselected word and bit lines get, in the
    scheme ``v/2``, half of it; in ``v/3``, one and two thirds. With ``1t1r`` the transistors of unselected rows are
    off, their word lines at 0 V; unselected bit lines get the amplitude, so that their cells see no voltage.

    Parameters
    ----------
    amplitude : float
        Voltage of the selected word lines against the selected bit lines [V].
    width : float
        Duration of the plateau [s], > 0.
    rise : float
        Duration of the slope before it, and of that after it [s], > 0.
    rows, columns : tuple of int, optional
        Selected word lines and bit lines; all when left out.
    scheme : {"v/2", "v/3", "1t1r"}
        Voltages of the lines that are not selected.
    """

    amplitude: float
    width: float = pydantic.Field(gt=0.0)
    rise: float = pydantic.Field(gt=0.0)
    rows: tuple[int, ...] | None = None
    columns: tuple[int, ...] | None = None
    scheme: Literal["v/2", "v/3", "1t1r"] = "v/2"

    @property
    def corners(self) -> tuple[tuple[float, float], ...]:
        """(time [s], voltage relative to the amplitude) of the corners; straight lines lie between."""
        up, down = self.rise, self.rise + self.width
        return (0.0, 0.0), (up, 1.0), (down, 1.0), (down + self.rise, 0.0)

    def level(self, time: ArrayLike) -> Floats:
        """Return the voltage relative to the amplitude at some times [s]."""
        times, levels = np.array(self.corners).T
        return np.asarray(np.interp(np.asarray(time, dtype=np.float64), times, levels))

    @property
    def duration(self) -> float:
        """From the first corner to the last [s]."""
        return self.corners[-1][0]

    def selected(self, spec: TileSpec) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Say which word lines, (rows,), and bit lines, (columns,), are selected.

        Raises
        ------
        ValidationError
            If the tile has no such line.
        """
        masks = []
        for name, chosen, count in (("rows", self.rows, spec.rows), ("columns", self.columns, spec.columns)):
            if chosen is not None:
                for index in chosen:
                    if not 0 <= index < count:
                        raise ValidationError(f"pulse.{name}", f"must be between 0 and {count - 1}", index)
            mask = np.full(count, chosen is None)
            mask[list(chosen or ())] = True
            masks.append(mask)
        return masks[0], masks[1]

    def lines(self, spec: TileSpec) -> tuple[Floats, Floats]:
        """Return the plateau voltages of the word lines, (rows,), and of the bit lines, (columns,) [V]."""
        rows, columns = self.selected(spec)
        word, bit = _SCHEMES[self.scheme]
        return self.amplitude * np.where(rows, 1.0, word), self.amplitude * np.where(columns, 0.0, bit)

    def conducting(self, spec: TileSpec) -> NDArray[np.bool_]:
        """Say in which rows the transistors, if there are any, are on, (rows,)."""
        return self.selected(spec)[0] if self.scheme == "1t1r" else np.ones(spec.rows, dtype=bool)


class PulseTrain(Spec):
    """Pulses one after another, on a tile of one kind of device.

    Parameters
    ----------
    device : VteamSpec, YakopcicSpec, StanfordSpec, IonDriftSpec or TabulatedSpec
        The devices.
    pulses : tuple of Pulse
        At least one. Between them all lines are at 0 V, where none of these devices moves.
    """

    device: OdeDevice
    pulses: tuple[Pulse, ...] = pydantic.Field(min_length=1)
