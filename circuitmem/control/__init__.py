"""The chip in time; the only package that uses SimPy."""

from typing import TYPE_CHECKING

from circuitmem.control.arbiter import Arbiter, Priority, Resource, Train
from circuitmem.control.auditor import ChipAuditor, Sample
from circuitmem.control.chip import Chip
from circuitmem.control.clock import Process
from circuitmem.control.electrics import Electrics
from circuitmem.control.faults import check_faults
from circuitmem.control.floor_plan import FloorPlan
from circuitmem.control.jobs import LayerCodes, LayerSums
from circuitmem.control.ledger import ATTOJOULE, PICOSECOND, Account, Ledger, picoseconds
from circuitmem.control.observe import Done, Held, Holding, Observer
from circuitmem.control.operations import OPERATIONS, OperationSpec
from circuitmem.control.programming import Conductances, PairTargets
from circuitmem.control.room import check_room
from circuitmem.control.signals import Signals, check_vcd
from circuitmem.control.trace import Trace
from circuitmem.control.unit import Unit, check_devices
from circuitmem.control.used_lines import UsedLines, turns
from circuitmem.control.utilisation import Utilisation
from circuitmem.deprecation import renamed

__all__ = [
    "ATTOJOULE",
    "OPERATIONS",
    "PICOSECOND",
    "Account",
    "Arbiter",
    "Chip",
    "ChipAuditor",
    "Conductances",
    "Done",
    "Electrics",
    "FloorPlan",
    "Held",
    "Holding",
    "LayerCodes",
    "LayerSums",
    "Ledger",
    "Observer",
    "OperationSpec",
    "PairTargets",
    "Priority",
    "Process",
    "Resource",
    "Sample",
    "Signals",
    "Trace",
    "Train",
    "Unit",
    "UsedLines",
    "Utilisation",
    "check_devices",
    "check_faults",
    "check_room",
    "check_vcd",
    "picoseconds",
    "turns",
]

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__, {"Targets": "PairTargets"}, "0.4.0")
