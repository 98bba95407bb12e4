"""Engines: different ways to compute the same tile, behind one Protocol."""

from circuitmem.engine.adjoint import Gradient
from circuitmem.engine.audited import AuditedEngine, AuditQueue, AuditRecord
from circuitmem.engine.base import Engine, ProgrammingResult, Solution
from circuitmem.engine.behavioral import BehavioralEngine, Transfer
from circuitmem.engine.plan import Plan
from circuitmem.engine.settling import Settling
from circuitmem.engine.software import software
from circuitmem.engine.spice import SpiceEngine, program_netlist, tile_netlist
from circuitmem.engine.transfers import ReuseRecord, TransferCache

__all__ = [
    "AuditQueue",
    "AuditRecord",
    "AuditedEngine",
    "BehavioralEngine",
    "Engine",
    "Gradient",
    "Plan",
    "ProgrammingResult",
    "ReuseRecord",
    "Settling",
    "Solution",
    "SpiceEngine",
    "Transfer",
    "TransferCache",
    "program_netlist",
    "software",
    "tile_netlist",
]
