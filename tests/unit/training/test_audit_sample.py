"""What is audited is the tile as it was when it was read, though it broke afterwards."""

import numpy as np

from circuitmem.config import AuditSpec, ChipSpec, DefectSpec, FaultSpec
from circuitmem.control import Chip
from circuitmem.engine import BehavioralEngine
from circuitmem.network import HardwareNetwork, Perceptron
from circuitmem.training.audit import ReadSampler, submit_samples


class Submitted:
    """Stands for the queue: what is handed to ngspice, computed again by a fresh engine."""

    def __init__(self):
        self.tiles, self.worst = [], 0.0

    def submit(self, tile, voltages, currents):
        self.tiles.append(tile)
        again = BehavioralEngine().solve(tile, voltages).column_current
        self.worst = max(self.worst, float(np.abs(again - currents).max() / np.abs(again).max()))


def test_a_tile_that_breaks_after_it_was_read_is_audited_as_it_was(tmp_path):
    faults = (
        FaultSpec(what="driver", row=60, time=1e-3),
        FaultSpec(what="cell", row=61, column=1, conductance=1e-3, time=1e-3),
    )
    for yield_ in (1.0, 0.8):
        chip = Chip(ChipSpec(defects=DefectSpec(device_yield=yield_), faults=faults), 1, seed=2)
        rng = np.random.default_rng(0)
        model = Perceptron([rng.normal(size=(8, 10))], [np.zeros(10)])
        network = HardwareNetwork(chip, model, [1.0])
        chip.run(network.program(0.0))
        sampler = ReadSampler(AuditSpec(tiles=2, reads=3), network, 1, 0)
        assert chip.now < 1e-3
        chip.run(network.forward(np.ones((4, 8))))
        chip.run(chip.wait_until(2 * 10**9))
        chip.run(network.forward(np.ones((4, 8))))
        sampler.save(tmp_path / f"sample_{yield_}.npz")
        queue = Submitted()
        submit_samples(tmp_path / f"sample_{yield_}.npz", chip, queue)
        assert queue.worst < 1e-9
        broken = [bool(tile.defects.dead_drivers[60]) for tile in queue.tiles]
        assert broken == [False, True]
