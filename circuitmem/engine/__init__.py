"""Engines: different ways to compute the same tile, behind one Protocol."""

from circuitmem.engine.adjoint import Gradient
from circuitmem.engine.audit_words import audit_sentences
from circuitmem.engine.audited import AuditedEngine, AuditQueue, AuditRecord
from circuitmem.engine.base import Engine, ProgrammingResult, PulseResult, Solution, Transfer
from circuitmem.engine.behavioral import BehavioralEngine
from circuitmem.engine.cases import PulseCase, ReadCase, case_from_arrays
from circuitmem.engine.confidence import CONFIDENCE, bound_text, fraction_bound, stratified_bound
from circuitmem.engine.findings import LIMIT, SavedCase, load_case, save_case
from circuitmem.engine.plan import Plan
from circuitmem.engine.referees import REFEREES, Referee, RefereeName, referee_names, simulator_versions, simulators
from circuitmem.engine.replay import replay_case
from circuitmem.engine.settling import Settling
from circuitmem.engine.spice import SpiceEngine, adc_netlist, program_netlist, tile_netlist
from circuitmem.engine.state_case import StateCase
from circuitmem.engine.transfers import ReuseRecord, TransferCache
from circuitmem.engine.vacask import VacaskEngine, vacask_netlist
from circuitmem.engine.verilog_a import verilog_law

__all__ = [
    "CONFIDENCE",
    "LIMIT",
    "REFEREES",
    "AuditQueue",
    "AuditRecord",
    "AuditedEngine",
    "BehavioralEngine",
    "Engine",
    "Gradient",
    "Plan",
    "ProgrammingResult",
    "PulseCase",
    "PulseResult",
    "ReadCase",
    "Referee",
    "RefereeName",
    "ReuseRecord",
    "SavedCase",
    "Settling",
    "Solution",
    "SpiceEngine",
    "StateCase",
    "Transfer",
    "TransferCache",
    "VacaskEngine",
    "adc_netlist",
    "audit_sentences",
    "bound_text",
    "case_from_arrays",
    "fraction_bound",
    "load_case",
    "program_netlist",
    "referee_names",
    "replay_case",
    "save_case",
    "simulator_versions",
    "simulators",
    "stratified_bound",
    "tile_netlist",
    "vacask_netlist",
    "verilog_law",
]
