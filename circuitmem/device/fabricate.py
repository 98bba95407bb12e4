"""The devices of a tile, of whatever kind was declared."""

from __future__ import annotations

from circuitmem.config import PulseUpdateSpec, TwoPulseSpec
from circuitmem.device.pulse_update import PulseUpdateDevices
from circuitmem.device.two_pulse import TwoPulseDevices

__all__ = ["fabricate"]


def fabricate(
    spec: TwoPulseSpec | PulseUpdateSpec, shape: tuple[int, int], seed: int = 0, key: tuple[int, ...] = ()
) -> TwoPulseDevices | PulseUpdateDevices:
    """Return the devices of one tile; parameters are those of their classes."""
    if isinstance(spec, PulseUpdateSpec):
        return PulseUpdateDevices(spec, shape, seed, key)
    return TwoPulseDevices(spec, shape, seed, key)
