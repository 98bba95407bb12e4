"""Between codes and the tile: DACs, transimpedance amplifiers, ADCs."""

from circuitmem.converter.adc import AdcBank
from circuitmem.converter.dac import DacBank
from circuitmem.converter.linearity import Linearity
from circuitmem.converter.readout import Readout

__all__ = ["AdcBank", "DacBank", "Linearity", "Readout"]
