"""The converters around one tile."""

from __future__ import annotations

from circuitmem.config import TileSpec
from circuitmem.config.converter import ConverterSpec
from circuitmem.converter.adc import AdcBank
from circuitmem.converter.dac import DacBank
from circuitmem.errors import ValidationError
from circuitmem.tile import DefectMap

__all__ = ["Readout"]


class Readout:
    """DACs, amplifiers and ADCs of one tile, as fabricated.

    Parameters
    ----------
    spec : ConverterSpec
        What was designed.
    tile : TileSpec
        The tile they belong to. Its ``sense_resistance`` must be the input resistance of the amplifiers.
    seed : int
        Seed of the fabrication.
    key : tuple of int
        Which tile on the chip.
    defects : DefectMap, optional
        Says which sense channels are dead.

    Raises
    ------
    ValidationError
        If the tile's sense resistance is not the amplifiers' input resistance.
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
        self.spec = spec
        self.dac = DacBank(spec.dac, tile.rows, seed, key)
        dead = None if defects is None else defects.dead_senses
        self.adc = AdcBank(spec.adc, spec.tia, tile.columns, seed, key, dead)
