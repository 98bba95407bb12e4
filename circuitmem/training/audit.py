"""Random reads of a run, taken while it goes on, to be computed again in ngspice."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import AuditSpec
from circuitmem.control import Chip, Unit
from circuitmem.engine import AuditQueue
from circuitmem.files import load_npz, save_npz
from circuitmem.network import HardwareNetwork
from circuitmem.network.layer import split
from circuitmem.rng import Purpose, stream
from circuitmem.tile import Tile

__all__ = ["ReadSampler", "submit_samples"]

Floats = NDArray[np.float64]


class ReadSampler:
    """Keeps a uniform random sample of all MAC reads of a method (reservoir sampling), with the tile as it then was.

    Parameters
    ----------
    spec : AuditSpec
        How many tile states, and reads at each.
    network : HardwareNetwork
        The network to watch.
    seed, method : int
        Seed of the run, and number of the method.
    """

    def __init__(self, spec: AuditSpec, network: HardwareNetwork, seed: int, method: int) -> None:
        self.spec = spec
        self.chip = network.chip
        self.samples: list[tuple[int, Floats, Floats, Floats]] = []
        self._rng = stream(seed, Purpose.AUDIT, method)
        self._seen = 0
        for layer in network.layers:
            layer.observer = lambda unit, codes, layer=layer: self._see(unit, codes, layer.correction.groups)

    def _see(self, unit: Unit, codes: NDArray[np.int64], groups: int) -> None:
        self._seen += 1
        place = int(self._rng.integers(self._seen)) if len(self.samples) == self.spec.tiles else len(self.samples)
        if place >= self.spec.tiles:
            return
        inputs = split(codes, groups)
        chosen = inputs[self._rng.integers(len(inputs), size=self.spec.reads)]
        voltages = unit.readout.dac.voltages(chosen)
        currents, _ = self.chip.currents(unit, voltages)
        self.samples[place : place + 1] = [(unit.index, unit.tile.conductance.copy(), voltages, currents)]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the sample to one npz file."""
        names = ("unit", "conductance", "voltages", "currents")
        columns = zip(*self.samples, strict=True) if self.samples else [()] * 4
        save_npz(path, {name: np.array(values) for name, values in zip(names, columns, strict=True)})


def submit_samples(path: str | os.PathLike[str], chip: Chip, queue: AuditQueue) -> None:
    """Hand a saved sample to ngspice; the defects come from the chip, which is fabricated from its seed.

    Parameters
    ----------
    path : path
        What :meth:`ReadSampler.save` wrote.
    chip : Chip
        A chip of the same run.
    queue : AuditQueue
        Where they are computed, in the background.
    """
    saved = load_npz(path)
    for index, conductance, voltages, currents in zip(
        saved["unit"], saved["conductance"], saved["voltages"], saved["currents"], strict=True
    ):
        tile = chip.units[int(index)].tile
        queue.submit(Tile(tile.spec, conductance, tile.defects), voltages, currents)
