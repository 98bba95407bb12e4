"""Specifications: frozen declarations, and the TOML files that contain them."""

from circuitmem.config.aging import EnduranceSpec, FaultSpec, RetentionSpec, TemperatureSpec
from circuitmem.config.base import Spec
from circuitmem.config.cell import Cell, CellLaw, LinearCell, SelectorCell, SinhCell, TransistorCell
from circuitmem.config.chip import BusSpec, ChipSpec, DefectSpec, DigitalSpec, ProgrammingSpec
from circuitmem.config.compliance import ComplianceCell
from circuitmem.config.converter import AdcSpec, ConverterSpec, DacSpec, TiaSpec
from circuitmem.config.data import DataSpec
from circuitmem.config.device import DeviceSpec, TwoPulseSpec
from circuitmem.config.inference import InferenceSpec
from circuitmem.config.mapping import BitSlicingSpec, DeclaredMapping, DifferentialSpec, MappingSpec, OffsetSpec
from circuitmem.config.network import NetworkSpec
from circuitmem.config.noise import NoiseSpec
from circuitmem.config.ode_cells import IonDriftCellSpec, OdeCellSpec, StanfordCellSpec, VteamCellSpec, YakopcicCellSpec
from circuitmem.config.ode_device import IonDriftSpec, OdeDevice, StanfordSpec, VteamSpec, YakopcicSpec
from circuitmem.config.protocol import ProtocolSpec, SearchedSpec
from circuitmem.config.pulse_train import Pulse, PulseTrain
from circuitmem.config.pulse_update import PulseUpdateSpec
from circuitmem.config.recipe import RecipeSpec
from circuitmem.config.run import AuditSpec, RunSpec
from circuitmem.config.statistical import StatisticalSpec
from circuitmem.config.step_table import StepTableSpec
from circuitmem.config.study import (
    AxisSpec,
    ComparisonSpec,
    FigureSpec,
    GapSpec,
    GoalSpec,
    MapsSpec,
    PublishedSpec,
    StudySpec,
    TuningSpec,
    VariantSpec,
)
from circuitmem.config.tiki_taka import AgadSpec, ChoppedSpec, FastArraySpec, TikiTakaSpec
from circuitmem.config.tile import TileSpec
from circuitmem.config.toml import (
    load_run,
    merge,
    missing_packages,
    needed_packages,
    presets,
    read_toml,
    set_key,
    to_toml,
)
from circuitmem.config.training import (
    BestSpec,
    CalibrationSpec,
    ExSituSpec,
    HardwareAwareSpec,
    InSituSpec,
    RetrainingSpec,
    ScheduleName,
    check_joined,
)
from circuitmem.config.use import UseSpec
from circuitmem.config.verilog_a import TabulatedSpec, VerilogASpec, cache_folder, remember_verilog, verilog_text
from circuitmem.config.verilog_cells import VerilogACellSpec

__all__ = [
    "AdcSpec",
    "AgadSpec",
    "AuditSpec",
    "AxisSpec",
    "BestSpec",
    "BitSlicingSpec",
    "BusSpec",
    "CalibrationSpec",
    "Cell",
    "CellLaw",
    "ChipSpec",
    "ChoppedSpec",
    "ComparisonSpec",
    "ComplianceCell",
    "ConverterSpec",
    "DacSpec",
    "DataSpec",
    "DeclaredMapping",
    "DefectSpec",
    "DeviceSpec",
    "DifferentialSpec",
    "DigitalSpec",
    "EnduranceSpec",
    "ExSituSpec",
    "FastArraySpec",
    "FaultSpec",
    "FigureSpec",
    "GapSpec",
    "GoalSpec",
    "HardwareAwareSpec",
    "InSituSpec",
    "InferenceSpec",
    "IonDriftCellSpec",
    "IonDriftSpec",
    "LinearCell",
    "MappingSpec",
    "MapsSpec",
    "NetworkSpec",
    "NoiseSpec",
    "OdeCellSpec",
    "OdeDevice",
    "OffsetSpec",
    "ProgrammingSpec",
    "ProtocolSpec",
    "PublishedSpec",
    "Pulse",
    "PulseTrain",
    "PulseUpdateSpec",
    "RecipeSpec",
    "RetentionSpec",
    "RetrainingSpec",
    "RunSpec",
    "ScheduleName",
    "SearchedSpec",
    "SelectorCell",
    "SinhCell",
    "Spec",
    "StanfordCellSpec",
    "StanfordSpec",
    "StatisticalSpec",
    "StepTableSpec",
    "StudySpec",
    "TabulatedSpec",
    "TemperatureSpec",
    "TiaSpec",
    "TikiTakaSpec",
    "TileSpec",
    "TransistorCell",
    "TuningSpec",
    "TwoPulseSpec",
    "UseSpec",
    "VariantSpec",
    "VerilogACellSpec",
    "VerilogASpec",
    "VteamCellSpec",
    "VteamSpec",
    "YakopcicCellSpec",
    "YakopcicSpec",
    "cache_folder",
    "check_joined",
    "load_run",
    "merge",
    "missing_packages",
    "needed_packages",
    "presets",
    "read_toml",
    "remember_verilog",
    "set_key",
    "to_toml",
    "verilog_text",
]
