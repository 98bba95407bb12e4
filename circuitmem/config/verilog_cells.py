"""Devices of a Verilog-A model on a chip."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from circuitmem.config.ode_cells import OdeCellSpec
from circuitmem.config.verilog_a import VerilogASpec, VerilogModel

__all__ = ["VerilogACellSpec"]

OTHER = 0.7
"""Fraction of a pulse's voltage that cells may see with the opposite sign: 2/3 with scheme v/3 and a dead driver."""


class VerilogACellSpec(OdeCellSpec, VerilogModel):
    """Devices of a Verilog-A model on a chip: its declaration, and :class:`OdeCellSpec` without published sets.

    The tables cover the pulses: in each direction its own voltage, set or reset, and at least 0.7 of the other one.
    """

    kind: Literal["verilog-a"] = "verilog-a"

    __hash__ = VerilogModel.__hash__

    @pydantic.model_validator(mode="before")
    @classmethod
    def _start_from_published(cls, values: object) -> object:
        """Return the values as declared: there are no published sets."""
        return values

    @property
    def model(self) -> Any:
        """The model alone."""
        towards_set = max(self.set_voltage, OTHER * self.reset_voltage)
        towards_reset = max(self.reset_voltage, OTHER * self.set_voltage)
        up = self.set_sign > 0
        return VerilogASpec(
            **{name: getattr(self, name) for name in VerilogModel.model_fields},
            positive_voltage=towards_set if up else towards_reset,
            negative_voltage=towards_reset if up else towards_set,
            time=8.0 * max(self.set_time, self.reset_time),
            conductance=0.1 * self.minimum_conductance,
        )
