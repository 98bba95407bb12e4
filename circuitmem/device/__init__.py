"""Devices: one file a model; how pulses change a conductance."""

from circuitmem.device.compliance import final_conductance, two_pulses
from circuitmem.device.fabricate import fabricate
from circuitmem.device.ode import DeviceResponse, conductance, simulate, state_of
from circuitmem.device.pulse_update import PulseUpdateDevices, nonlinearity, pulse_curves, steepness
from circuitmem.device.two_pulse import TwoPulseDevices

__all__ = [
    "DeviceResponse",
    "PulseUpdateDevices",
    "TwoPulseDevices",
    "conductance",
    "fabricate",
    "final_conductance",
    "nonlinearity",
    "pulse_curves",
    "simulate",
    "state_of",
    "steepness",
    "two_pulses",
]
