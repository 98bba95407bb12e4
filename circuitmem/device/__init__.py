"""Devices: one file a model; how pulses change a conductance."""

from circuitmem.device.compliance import final_conductance, two_pulses
from circuitmem.device.device import CellState, Device, PulseGroup
from circuitmem.device.flicker import flicker, flicker_covariance
from circuitmem.device.ode import DeviceResponse, Drive, conductance, simulate, state_of
from circuitmem.device.ode_cells import IonDriftCells, OdeCells, StanfordCells, VerilogACells, VteamCells, YakopcicCells
from circuitmem.device.pulse_update import PulseUpdate, nonlinearity, pulse_curves, steepness
from circuitmem.device.statistical import Statistical
from circuitmem.device.step_table import StepTable
from circuitmem.device.tabulated import tabulated_error
from circuitmem.device.two_pulse import TwoPulse

__all__ = [
    "CellState",
    "Device",
    "DeviceResponse",
    "Drive",
    "IonDriftCells",
    "OdeCells",
    "PulseGroup",
    "PulseUpdate",
    "StanfordCells",
    "Statistical",
    "StepTable",
    "TwoPulse",
    "VerilogACells",
    "VteamCells",
    "YakopcicCells",
    "conductance",
    "final_conductance",
    "flicker",
    "flicker_covariance",
    "nonlinearity",
    "pulse_curves",
    "simulate",
    "state_of",
    "steepness",
    "tabulated_error",
    "two_pulses",
]
