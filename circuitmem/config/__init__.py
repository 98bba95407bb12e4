"""What is declared: frozen specifications, and the TOML files they come from."""

from circuitmem.config.base import Spec
from circuitmem.config.cell import Cell, LinearCell, SinhCell
from circuitmem.config.converter import AdcSpec, ConverterSpec, DacSpec, TiaSpec
from circuitmem.config.tile import TileSpec

__all__ = [
    "AdcSpec",
    "Cell",
    "ConverterSpec",
    "DacSpec",
    "LinearCell",
    "SinhCell",
    "Spec",
    "TiaSpec",
    "TileSpec",
]
