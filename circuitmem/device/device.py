"""Devices as the chip sees them: how many pulses a wanted change takes, and what each pulse leaves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Address, standard_normal
from circuitmem._kernels.pulses import TwoPulseLaw
from circuitmem.config import DeviceSpec
from circuitmem.plugin import array_of, is_ours, refusal

__all__ = ["CellState", "Device", "PulseGroup"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]

ROUNDING = 1e-9
"""What a pulse leaves may be beyond the range by this fraction of the maximum conductance."""

_NUMBERS = 1 << 16
"""More than the pulses of one polarity that a cell can get in one programming job."""


class PulseGroup(NamedTuple):
    """One pulse of one polarity for some cells of a tile."""

    is_set: bool
    """Whether it raises the conductance."""
    number: int
    """Which pulse of this polarity it is for these cells, from 0."""
    cells: Mask
    """Cells that get it, (rows, columns)."""
    wanted: Floats
    """Conductance that is wanted in the end, (rows, columns) S."""
    width: int = 1
    """Its duration, in declared widths."""


class CellState(NamedTuple):
    """The cells of a tile, (rows, columns) each, which pulses change in place."""

    conductance: Floats
    """As programmed [S]."""
    effective: Floats
    """As the circuit has it [S]: pulses leave that of stuck cells alone. It may be the same array as
    ``conductance``."""
    stuck: Mask
    """Which cells are stuck."""
    asked: Floats
    """What the digital core believes that they conduct [S]."""


class Device(ABC):
    """The devices of one tile, as fabricated: one class is one kind of device.

    A subclass says how many pulses a change takes (:meth:`counts`) and what a pulse leaves (:meth:`after`). The chip
    takes care of when each pulse comes and what it costs, the address of its noise, stuck cells, aging, and
    checkpoints. The conductances themselves live in the tile.

    Parameters
    ----------
    spec : DeviceSpec
        The declared parameters, of the class's :attr:`Spec`.
    shape : (int, int)
        Rows and columns of the tile.
    seed : int
        Seed of the fabrication.
    key : tuple of int
        Which tile on the chip: :func:`circuitmem.rng.stream` with ``Purpose.DEVICE`` and this key draws the
        device-to-device variation.

    Attributes
    ----------
    keeps_slope : bool
        Whether :attr:`slope` is kept once it is drawn, or drawn again, with the same values, whenever it is needed.
    """

    Spec: ClassVar[type[DeviceSpec]]
    """Class of the declaration of such devices."""
    gated: ClassVar[bool] = False
    """Whether a SET leaves the wanted conductance, whatever the cell had before, as a gate voltage does: the digital
    core then believes the wanted one. Otherwise it believes what :meth:`after` returns without noise, pulse by
    pulse."""
    law: TwoPulseLaw | None = None
    """Law of the gate voltage, for devices that have one: an audit computes pulses from it."""

    def __init__(self, spec: DeviceSpec, shape: tuple[int, int], seed: int = 0, key: tuple[int, ...] = ()) -> None:
        self.spec, self.shape = spec, shape
        self.seed, self.key = seed, key
        self.keeps_slope = True

    @property
    def slope(self) -> Floats:
        """Conductance per gate voltage of each device, (rows, columns) S/V, for those with a :attr:`law`."""
        return np.broadcast_to(0.0, self.shape)

    @property
    @abstractmethod
    def most(self) -> int:
        """Most pulses of one polarity that a row gets in one job, each counted as often as its :meth:`rounds` say.

        Up to 65,535.
        """

    @abstractmethod
    def counts(self, wanted: Floats, present: Floats) -> tuple[Counts, Counts]:
        """Return how many pulses down and how many up a change takes, by what the digital core knows.

        The pulses down come first. Both (rows, columns), whole numbers from 0 to :attr:`most`.

        Parameters
        ----------
        wanted, present : (rows, columns) ndarray
            Conductances [S], within the declared range.
        """

    @abstractmethod
    def after(self, pulse: PulseGroup, conductance: Floats, noise: Floats | None) -> Floats:
        """Return what cells conduct after one pulse each, (rows, columns) S; those without a pulse do not matter.

        All are finite. Without noise they lie between the declared minimum and maximum, which noise may leave; the
        ODE devices alone may go beyond with their last pulse.

        Parameters
        ----------
        pulse : PulseGroup
            The pulse.
        conductance : (rows, columns) ndarray
            What they conduct before [S].
        noise : (rows, columns) ndarray, optional
            A standard normal number for each pulse. None: what the digital core expects, without any.
        """

    def rounds(self, counts: Counts) -> list[tuple[int, Mask]]:
        """Return the pulses that add up to these counts, (rows, columns): width and cells of each, one after another.

        A width is a whole multiple of the declared one. By default all pulses have the declared width.
        """
        return [(1, counts > number) for number in range(int(counts.max(initial=0)))]

    def plan(self, wanted: Floats, asked: Floats, deadband: float) -> tuple[Counts, Counts]:
        """Return the pulses down and up of cells that are wanted further than ``deadband`` [S] from what was asked.

        Parameters
        ----------
        wanted, asked : (rows, columns) ndarray
            Conductances that are wanted now, and that were asked for before [S].
        deadband : float
            Largest difference for which nothing is done [S].
        """
        down, up = self._counted(wanted, asked)
        small = np.abs(wanted - asked) <= deadband
        return np.where(small, 0, down), np.where(small, 0, up)

    def again(self, lowered: Mask, selected: Mask, asked: Floats) -> tuple[Counts, Counts]:  # noqa: ARG002
        """Return the pulses that bring ``selected`` cells to what was asked of them, wherever they are now.

        By default all of them get as many pulses down as lead from the top of the range to its bottom, and are then
        brought up again.

        Parameters
        ----------
        lowered : (rows, columns) ndarray of bool
            Which cells were found to conduct too much.
        selected : (rows, columns) ndarray of bool
            Which cells get the pulses.
        asked : (rows, columns) ndarray
            What was asked of them [S].
        """
        bottom = np.full_like(asked, self.spec.minimum_conductance)
        down = self._counted(bottom, np.full_like(asked, self.spec.maximum_conductance))[0]
        up = self._counted(asked, bottom)[1]
        return np.where(selected, down, 0), np.where(selected, up, 0)

    @staticmethod
    def noise_of(pulse: PulseGroup, noise: Address) -> Address:
        """Return the address of a pulse's noise in a job whose noise is at ``noise``."""
        return noise._replace(operation=(2 * noise.operation + pulse.is_set) * _NUMBERS + pulse.number)

    def give(self, pulse: PulseGroup, state: CellState, noise: Address) -> None:
        """Give a pulse, in place: to the cells as they are, and to what the digital core believes of them.

        Parameters
        ----------
        pulse : PulseGroup
            The pulse, and the cells that get it.
        state : CellState
            The cells, and what the core believes of them.
        noise : Address
            Where the noise of each cell is drawn.
        """
        drawn = standard_normal(self.noise_of(pulse, noise), pulse.cells.size).reshape(pulse.cells.shape)
        left = np.maximum(self._left(pulse, state.conductance, drawn), 0.0)
        state.conductance[pulse.cells] = left[pulse.cells]
        free = pulse.cells & ~state.stuck
        state.effective[free] = left[free]
        if not self.gated:
            state.asked[pulse.cells] = self._left(pulse, state.asked, None)[pulse.cells]
        elif pulse.is_set:
            state.asked[pulse.cells] = pulse.wanted[pulse.cells]

    def _counted(self, wanted: Floats, present: Floats) -> tuple[Counts, Counts]:
        """Return what :meth:`counts` does; that of a user's class must be what it promises.

        Reads while verifying may have found cells beyond the range. Built-in classes take them as its ends, and a
        user's class gets the ends.
        """
        if is_ours(type(self).counts):
            return self.counts(wanted, present)
        found = self.counts(self._within(wanted), self._within(present))
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise refusal("devices", self, "must return pulses down and pulses up from counts", found)
        down, up = (array_of("devices", self, "from counts", each, wanted.shape) for each in found)
        for each in (down, up):
            wrong = each[(each < 0) | (each > self.most) | (each != np.floor(each))]
            if wrong.size:
                rule = f"must return whole numbers from 0 to {self.most} (its most) from counts"
                raise refusal("devices", self, rule, wrong[0])
        return down.astype(np.int64), up.astype(np.int64)

    def _left(self, pulse: PulseGroup, conductance: Floats, noise: Floats | None) -> Floats:
        """Return what :meth:`after` does; that of a user's class must be what it promises for cells with a pulse."""
        if is_ours(type(self).after):
            return self.after(pulse, conductance, noise)
        found = self.after(pulse, self._within(conductance) if noise is None else conductance, noise)
        left = array_of("devices", self, "from after", found, conductance.shape, finite=False)
        given, spec = left[pulse.cells], self.spec
        low, high, beyond = spec.minimum_conductance, spec.maximum_conductance, ROUNDING * spec.maximum_conductance
        wrong = given[~np.isfinite(given)]
        if wrong.size:
            raise refusal("devices", self, "must return finite conductances from after", wrong[0])
        wrong = given[(given < low - beyond) | (given > high + beyond)]
        if wrong.size and noise is None and not spec.stateful:
            rule = f"must return conductances from {low:g} to {high:g} S from after where there is no noise"
            raise refusal("devices", self, rule, wrong[0])
        return left

    def _within(self, conductance: Floats) -> Floats:
        return np.clip(conductance, self.spec.minimum_conductance, self.spec.maximum_conductance)
