"""The declared chip: one kind of tile with its converters, devices and defects, and the shared blocks."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pydantic

from circuitmem.config.aging import EnduranceSpec, FaultSpec, RetentionSpec, TemperatureSpec
from circuitmem.config.base import Spec
from circuitmem.config.converter import AdcSpec, ConverterSpec, DacSpec
from circuitmem.config.device import DeclaredDevice, TwoPulseSpec
from circuitmem.config.law import is_zero
from circuitmem.config.mapping import DeclaredMapping, DifferentialSpec
from circuitmem.config.noise import NoiseSpec
from circuitmem.config.quantity import LARGEST_CONDUCTANCE, Count, Energy, Rate
from circuitmem.config.tile import TileSpec
from circuitmem.errors import ValidationError

__all__ = ["BusSpec", "ChipSpec", "DefectSpec", "DigitalSpec", "ProgrammingSpec"]


class DefectSpec(Spec):
    """The shares of stuck devices, cut lines and dead channels, and the conductances of stuck devices.

    Parameters
    ----------
    device_yield : float
        Expected fraction of *devices* that work, in [0, 1]. A weight is a pair of devices: at 0.8, 36 % of the
        pairs have a stuck one.
    stuck_on_fraction : float
        Fraction of the stuck devices that are stuck-on, in [0, 1].
    stuck_on_range, stuck_off_range : (float, float)
        Range of the conductances of stuck devices [S]; defaults from Liu et al., DAC 2017 [D].
    clustering : float, optional
        Stapper's clustering parameter, >= 0.01; without it defects are uniform.
    layers : sequence of int, optional
        Layers of the network, from 0, whose tiles have defects; all when left out.
    cut_word_lines, cut_bit_lines : float
        Expected fraction of the word lines, and of the bit lines, that are cut at one place, in [0, 1]; the places are
        uniform, so that half of the cells of a cut line are lost on average.
    dead_channels : float
        Expected fraction of the sense channels whose converter gives a constant code, in [0, 1].
    """

    device_yield: float = pydantic.Field(default=0.8, ge=0.0, le=1.0)
    stuck_on_fraction: float = pydantic.Field(default=0.5, ge=0.0, le=1.0)
    stuck_on_range: tuple[float, float] = (300e-6, 1200e-6)
    stuck_off_range: tuple[float, float] = (0.01e-6, 1e-6)
    clustering: float | None = pydantic.Field(default=None, ge=0.01)
    layers: tuple[Annotated[int, pydantic.Field(ge=0)], ...] | None = None
    cut_word_lines: float = pydantic.Field(default=0.0, ge=0.0, le=1.0)
    cut_bit_lines: float = pydantic.Field(default=0.0, ge=0.0, le=1.0)
    dead_channels: float = pydantic.Field(default=0.0, ge=0.0, le=1.0)

    @pydantic.model_validator(mode="after")
    def _check_ranges(self) -> DefectSpec:
        for name in ("stuck_on_range", "stuck_off_range"):
            low, high = getattr(self, name)
            if not 0.0 <= low <= high <= LARGEST_CONDUCTANCE:
                rule = f"must be (low, high) with 0 <= low <= high <= {LARGEST_CONDUCTANCE:g}"
                raise ValidationError(name, rule, (low, high))
        return self


class ProgrammingSpec(Spec):
    """The shared programming drivers, and how changes of conductances become pulses.

    Parameters
    ----------
    drivers : int
        Programming drivers on the chip, >= 1: the number of tiles that can be programmed at once.
    deadband : float
        A cell gets pulses only when its wanted conductance is further than this from what was last asked of it
        [S], >= 0.
    verify_tries : int
        How often each row is read back after the initial programming, and its cells that are off are programmed again,
        >= 0.
    verify_tolerance : float
        A cell counts as off when its read conductance is further than this from the wanted one [S], > 0.
    rows_at_once : int
        Rows of a tile that get their pulse together, >= 1; the array's energy is that of the network with all of
        them driven.
    by_cell : bool
        Whether cells get their pulses one by one instead of row by row.
    energy_per_pulse : float
        Energy of a driver for one pulse on one row (or cell), without the energy that goes into the array [J], >= 0.
    """

    drivers: Count = 8
    deadband: float = pydantic.Field(default=6e-6, ge=0.0)
    verify_tries: int = pydantic.Field(default=1, ge=0)
    verify_tolerance: float = pydantic.Field(default=20e-6, gt=0.0)
    rows_at_once: Count = 1
    by_cell: bool = False
    energy_per_pulse: Energy = 0.0

    @pydantic.model_validator(mode="after")
    def _check_rows(self) -> ProgrammingSpec:
        if self.by_cell and self.rows_at_once > 1:
            raise ValidationError("rows_at_once", "must be 1 with by_cell", self.rows_at_once)
        return self


class DigitalSpec(Spec):
    """The digital core (assumed: a small 1 GHz vector unit).

    Parameters
    ----------
    throughput : float
        Operations per second [1/s], > 0.
    energy_per_operation : float
        Energy of one operation [J], >= 0.
    """

    throughput: Rate = 64e9
    energy_per_operation: Energy = 0.5e-12


class BusSpec(Spec):
    """The bus that carries converted codes from the tiles to the digital core; no cost and no limit by default.

    Parameters
    ----------
    bandwidth : float, optional
        Bits per second [1/s], > 0; left out, transfers take no time.
    energy_per_bit : float
        Energy of one bit [J], >= 0.
    """

    bandwidth: Rate | None = None
    energy_per_bit: Energy = 0.0


class ChipSpec(Spec):
    """One kind of tile, as many of them as the network needs, and what they share.

    Parameters
    ----------
    tile : TileSpec
        Geometry of every tile. Its ``sense_resistance`` is left at 0: it is the input resistance of the amplifiers.
    converters : ConverterSpec
        DACs, amplifiers and ADCs of every tile.
    device : DeviceSpec
        Programming behaviour of the devices; a table without ``kind`` declares two-pulse devices.
    mapping : MappingSpec
        How weights become conductances; a table without ``kind`` declares differential pairs.
    defects : DefectSpec
        Statistics of the stuck devices.
    programming : ProgrammingSpec
        Programming drivers and rules.
    digital : DigitalSpec
        The digital core.
    bus : BusSpec
        The on-chip bus.
    dac_banks, adc_banks : int, optional
        DAC banks (one DAC a row) and ADC banks (the ADCs of one tile) on the whole chip, >= 1: they limit how many
        tiles can be read at once. Left out, every tile has its own.
    gated : bool
        Whether word and bit lines that a product does not need are left out of its reads: their DACs stay at code 0
        without converting, their amplifiers and ADCs are off. This holds for all reads except those that look for stuck
        cells, on spare lines too.
    packed : bool
        Whether matrices that do not fill their tiles share them, side by side on the same word lines. Matrices that
        share a tile are read one after another, as on a gated chip.
    kernel_copies : int
        Number of sets of tiles that hold each kernel of a convolution, from 1 to 4096: its patches are distributed
        among them in turn, and read at the same time.
    retention : RetentionSpec
        Drift and read disturb.
    noise : NoiseSpec
        Noise of the cells when they are read.
    temperature : TemperatureSpec
        The chip's temperature over time.
    endurance : EnduranceSpec
        Wear of the cells.
    faults : sequence of FaultSpec
        What breaks, and when.
    """

    tile: TileSpec = TileSpec(rows=64, columns=64, word_line_resistance=1.0, bit_line_resistance=1.0)
    converters: ConverterSpec = ConverterSpec(
        dac=DacSpec(resistor_mismatch=0.002, gain_error=0.01, offset_error=0.5e-3),
        adc=AdcSpec(gain_error=0.05, offset_error=20e-3, noise=2e-3),
    )
    device: DeclaredDevice = TwoPulseSpec()
    mapping: DeclaredMapping = DifferentialSpec()
    defects: DefectSpec = DefectSpec()
    programming: ProgrammingSpec = ProgrammingSpec()
    digital: DigitalSpec = DigitalSpec()
    bus: BusSpec = BusSpec()
    dac_banks: Count | None = None
    adc_banks: Count | None = None
    gated: bool = False
    packed: bool = False
    kernel_copies: Annotated[int, pydantic.Field(ge=1, le=4096)] = 1
    retention: RetentionSpec = RetentionSpec()
    noise: NoiseSpec = NoiseSpec()
    temperature: TemperatureSpec = TemperatureSpec()
    endurance: EnduranceSpec = EnduranceSpec()
    faults: tuple[FaultSpec, ...] = ()

    @pydantic.model_validator(mode="after")
    def _check_stateful_devices(self) -> ChipSpec:
        """Refuse effects that stateful devices do not have: only voltages move their state, row by row."""
        if not self.device.stateful:
            return self
        own_cell = self.device.own_cell
        if own_cell is not None and "cell" not in self.tile.model_fields_set and self.tile.cell != own_cell:
            # The spec is frozen but not finished yet: a law that nobody declared becomes that of the devices.
            object.__setattr__(self, "tile", self.tile.model_copy(update={"cell": own_cell}))
        self.device.check_cell(self.tile.cell)
        rule = f"must be {{}} with devices of kind {self.device.kind}, which voltages alone move"
        for table, names in (
            ("retention", ("drift_exponent", "read_disturb", "read_disturb_rate")),
            ("noise", ("flicker",)),
            ("temperature", ("coefficient",)),
        ):
            for name in names:
                value = getattr(getattr(self, table), name)
                if not is_zero(value):
                    raise ValidationError(f"{table}.{name}", rule.format(0), value)
        if self.programming.rows_at_once > 1:
            raise ValidationError("programming.rows_at_once", rule.format(1), self.programming.rows_at_once)
        return self

    @pydantic.model_validator(mode="after")
    def _check_programming(self) -> ChipSpec:
        span = self.device.maximum_conductance - self.device.minimum_conductance
        for name in ("deadband", "verify_tolerance"):
            value = getattr(self.programming, name)
            if value >= span:
                raise ValidationError(
                    f"programming.{name}", f"must be < the range of the devices (={span:.6g} S)", value
                )
        return self

    @pydantic.model_validator(mode="after")
    def _check_packed(self) -> ChipSpec:
        if self.packed and self.mapping.references:
            rule = f"must be false with mapping {self.mapping.kind}, whose reference column matrices cannot share"
            raise ValidationError("packed", rule, self.packed)
        if self.packed and self.defects.layers is not None:
            raise ValidationError("packed", "must be false with defects.layers: layers share tiles", self.packed)
        return self

    @property
    def reads_used_lines(self) -> bool:
        """Whether a layer's reads leave out lines that it does not use."""
        return self.gated or self.packed

    @pydantic.model_validator(mode="after")
    def _check_tile(self) -> ChipSpec:
        if self.tile.sense_resistance != 0.0:
            rule = "must be left out: it is the input resistance of the amplifiers (converters.tia)"
            raise ValidationError("tile.sense_resistance", rule, self.tile.sense_resistance)
        offset = self.converters.tia.input_offset
        if offset != 0.0 and not self.tile.cell.linear:
            raise ValidationError("converters.tia.input_offset", "must be 0 with cells that are not linear", offset)
        mapping = self.mapping
        least = mapping.references + mapping.width
        if self.tile.columns < least:
            what = "a differential pair" if mapping.kind == "differential" else f"an output with mapping {mapping.kind}"
            raise ValidationError("tile.columns", f"must be >= {least}, for {what}", self.tile.columns)
        limits = np.array([self.device.minimum_conductance, self.device.maximum_conductance])
        low, high = self.tile.cell.mesh_conductance(limits)
        mapping.check_step(float(high - low), self.programming.deadband)
        for index, fault in enumerate(self.faults):
            for name, place, limit in (("row", fault.row, self.tile.rows), ("column", fault.column, self.tile.columns)):
                if place >= limit:
                    raise ValidationError(f"faults.{index}.{name}", f"must be < {limit}", place)
        return self

    @property
    def tile_spec(self) -> TileSpec:
        """The tile with the amplifiers' input resistance at its sense ends."""
        return self.tile.model_copy(update={"sense_resistance": self.converters.tia.input_resistance})
