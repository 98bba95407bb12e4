"""Stage: pulses on tiles of a Verilog-A device by its tables, against the model itself; VACASK alone has it."""

from __future__ import annotations

from circuitmem.config import VerilogASpec
from circuitmem.study.benches import Bench
from circuitmem.study.stages.programming import compare_programs
from circuitmem.study.stages.stage import Context, Stage

NAME = "program Verilog-A"
REFEREE = "vacask"
ERROR = 1e-3
"""Of the tables, which the stage allows."""


def run(context: Context) -> Stage:
    """Compare final states of tantalum-oxide cells, whose channel is up to a fifth of the cell."""
    device = VerilogASpec(
        file="taox",
        state_range=(0.0, 0.2),
        positive_voltage=0.55,
        negative_voltage=0.7,
        time=1e-4,
        conductance=1e-4,
        error=ERROR,
    )
    return compare_programs(context, Bench(device, 0.5, -0.65, 2e-5, 1e-5, 50.0), ERROR)
