"""Devices: one file a model; how pulses change a conductance."""

from circuitmem.device.two_pulse import TwoPulseDevices

__all__ = ["TwoPulseDevices"]
