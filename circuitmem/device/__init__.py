"""Devices: one file a model; how pulses change a conductance."""

from circuitmem.device.ode import DeviceResponse, conductance, simulate, state_of
from circuitmem.device.two_pulse import TwoPulseDevices

__all__ = ["DeviceResponse", "TwoPulseDevices", "conductance", "simulate", "state_of"]
