"""The converters around one tile."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Address
from circuitmem._kernels.reads import Channels, IdealAdmittance, read_codes
from circuitmem.config import TileSpec
from circuitmem.config.converter import ConverterSpec
from circuitmem.converter.adc import AdcBank
from circuitmem.converter.dac import DacBank
from circuitmem.errors import ValidationError
from circuitmem.tile import DefectMap

__all__ = ["Readout"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


class Readout:
    """DACs, amplifiers and ADCs of one tile, as fabricated.

    Parameters
    ----------
    spec : ConverterSpec
        The design of the converters.
    tile : TileSpec
        The tile they belong to. Its ``sense_resistance`` must equal the input resistance of the amplifiers.
    seed : int
        Seed for the random fabrication errors.
    key : tuple of int
        Identifies the tile on the chip.
    defects : DefectMap, optional
        Defects of the tile; only its dead sense channels are used.

    Raises
    ------
    ValidationError
        If the tile's sense resistance differs from the amplifiers' input resistance, or if amplifiers with an input
        offset are combined with cells that are not linear.
    """

    def __init__(
        self,
        spec: ConverterSpec,
        tile: TileSpec,
        seed: int = 0,
        key: tuple[int, ...] = (),
        defects: DefectMap | None = None,
    ) -> None:
        if tile.sense_resistance != spec.tia.input_resistance:
            rule = f"must be the input resistance R_f/(1 + A) of the amplifiers, {spec.tia.input_resistance!r} ohm"
            raise ValidationError("sense_resistance", rule, tile.sense_resistance)
        if spec.tia.input_offset != 0.0 and not tile.cell.linear:
            raise ValidationError("tia.input_offset", "must be 0 with cells that are not linear", spec.tia.input_offset)
        self.spec = spec
        self.dac = DacBank(spec.dac, tile.rows, seed, key)
        dead = None if defects is None else defects.dead_senses
        self.adc = AdcBank(spec.adc, spec.tia, tile.columns, seed, key, dead, 1 + (tile.bit_line_sense == "both"))

    def channels(self, offset_current: Floats | None = None) -> Channels:
        """Return the numbers that the kernels need of the converters, at the present gain of the amplifiers.

        Parameters
        ----------
        offset_current : (columns,) ndarray, optional
            Column currents that the amplifiers' offsets drive through the tile [A].
        """
        adc = self.adc
        return Channels(
            self.dac.table,
            adc.factor,
            adc.bias if offset_current is None else adc.bias + offset_current * adc.factor,
            np.where(adc.alive, float(adc.spec.highest_code), 0.0),
            adc.spec.minimum,
            adc.spec.lsb,
            adc.noise,
            adc.thresholds,
        )

    def read(
        self,
        codes: Codes,
        matrix: Floats,
        admittance: Floats | IdealAdmittance | None,
        noise: Address,
        *,
        first: int = 0,
        threads: int = 1,
        offset_current: Floats | None = None,
    ) -> tuple[Codes, Floats]:
        """Return ADC codes, (batch, columns), and power, (batch,) W, for DAC codes, given the tile's matrices.

        Parameters
        ----------
        codes : (batch, rows) ndarray of int
            DAC codes.
        matrix : (columns, rows) ndarray
            Transfer matrix of the tile [S].
        admittance : (rows, rows) ndarray, optional
            Its input admittance [S], or that of ideal wires; if None, the power is reported as 0.
        noise : Address
            Address of the random numbers for the noise of these conversions.
        first : int
            Number of the first of these vectors at that address.
        threads : int
            Threads to use, >= 1; results are bit-identical for any number.
        offset_current : (columns,) ndarray, optional
            Column currents that the amplifiers' offsets drive through the tile [A].

        Raises
        ------
        ValidationError
            If the shape is wrong or a code is not an integer in [0, 2^bits - 1].
        """
        self.dac.check_shape(codes)
        return read_codes(codes, matrix, admittance, self.channels(offset_current), noise, first=first, threads=threads)
