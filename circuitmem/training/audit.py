"""Random reads of a run, taken while it goes on, to be computed again in ngspice."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import AuditSpec, TileSpec
from circuitmem.control import Chip, Unit
from circuitmem.engine import AuditQueue
from circuitmem.files import load_npz, save_npz
from circuitmem.network import HardwareNetwork
from circuitmem.rng import Purpose, stream
from circuitmem.tile import DefectMap, Tile

__all__ = ["ReadSampler", "submit_samples"]

Floats = NDArray[np.float64]

_DEFECTS = ("stuck", "stuck_conductance", "open_word_segments", "open_bit_segments", "dead_drivers", "dead_senses")


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
        self.samples: list[tuple[Any, ...]] = []
        self._rng = stream(seed, Purpose.AUDIT, method)
        self._seen = 0
        for layer in network.layers:
            layer.observer = self._see

    def _see(self, unit: Unit, inputs: NDArray[np.int64]) -> None:
        self._seen += 1
        place = int(self._rng.integers(self._seen)) if len(self.samples) == self.spec.tiles else len(self.samples)
        if place >= self.spec.tiles:
            return
        chosen = inputs[self._rng.integers(len(inputs), size=self.spec.reads)]
        voltages = unit.readout.dac.voltages(chosen)
        currents, _ = self.chip.currents(unit, voltages)
        # What was broken then: a chip wears and fails while it works.
        defects = [_array(unit.tile.defects, name, unit.tile.spec) for name in _DEFECTS]
        sample = unit.index, unit.tile.conductance.copy(), voltages, currents, *defects
        self.samples[place : place + 1] = [sample]

    def state(self) -> dict[str, Any]:
        """Return the sample so far, and where the random stream stands, for a checkpoint."""
        stream_state = dict(self._rng.bit_generator.state)
        return {"samples": self.samples, "seen": self._seen, "stream": stream_state}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""
        self.samples = [tuple(sample) for sample in state["samples"]]
        self._seen = state["seen"]
        self._rng.bit_generator.state = state["stream"]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the sample to one npz file."""
        names = ("unit", "conductance", "voltages", "currents", *_DEFECTS)
        columns = zip(*self.samples, strict=True) if self.samples else [()] * len(names)
        save_npz(path, {name: np.array(values) for name, values in zip(names, columns, strict=True)})


def submit_samples(path: str | os.PathLike[str], chip: Chip, queue: AuditQueue) -> None:
    """Hand a saved sample to ngspice; the geometry comes from the chip.

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
    for number, index in enumerate(saved["unit"]):
        tile = chip.units[int(index)].tile
        found = DefectMap(
            **{name: saved[name][number] for name in _DEFECTS},
            bridges=[(*bridge,) for bridge in tile.defects.bridges],
        )
        tile = Tile(tile.spec, saved["conductance"][number], found)
        queue.submit(tile, saved["voltages"][number], saved["currents"][number])


def _array(defects: DefectMap, name: str, spec: TileSpec) -> NDArray[Any]:
    """Return one array of the defects, zeros if it is left out."""
    shape = {"dead_drivers": (spec.rows,), "dead_senses": (spec.columns,)}.get(name, spec.shape)
    found: NDArray[Any] | None = getattr(defects, name)
    return np.zeros(shape, dtype=float if name == "stuck_conductance" else bool) if found is None else found
