"""Devices: one file a model; how pulses change a conductance."""

from circuitmem.device.compliance import final_conductance, two_pulses
from circuitmem.device.device import CellState, Device, PulseGroup
from circuitmem.device.ode import DeviceResponse, conductance, simulate, state_of
from circuitmem.device.ode_cells import OdeCells, StanfordCells, VteamCells, YakopcicCells
from circuitmem.device.pulse_update import PulseUpdate, nonlinearity, pulse_curves, steepness
from circuitmem.device.two_pulse import TwoPulse

__all__ = [
    "CellState",
    "Device",
    "DeviceResponse",
    "OdeCells",
    "PulseGroup",
    "PulseUpdate",
    "StanfordCells",
    "TwoPulse",
    "VteamCells",
    "YakopcicCells",
    "conductance",
    "final_conductance",
    "nonlinearity",
    "pulse_curves",
    "simulate",
    "state_of",
    "steepness",
    "two_pulses",
]
