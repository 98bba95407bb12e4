"""Converters between codes and a tile: DACs, transimpedance amplifiers and ADCs."""

from circuitmem.converter.adc import AdcBank
from circuitmem.converter.dac import DacBank
from circuitmem.converter.linearity import Linearity
from circuitmem.converter.readout import Readout

__all__ = ["AdcBank", "DacBank", "Linearity", "Readout"]
