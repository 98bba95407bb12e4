"""A stream of inference requests: when they arrive, what they wait for, and when they are answered."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from circuitmem.control import PICOSECOND, Priority, Process, picoseconds
from circuitmem.network.hardware import HardwareNetwork
from circuitmem.rng import Purpose, stream

__all__ = ["RequestStream"]

Floats = NDArray[np.float64]


@dataclass
class RequestStream:
    """Requests at the times of a Poisson process, each one input drawn at random.

    A request takes the layers one after another, each on its own tiles: requests follow each other through the
    layers as in a pipeline, and wait for tiles and converters that are taken.

    Parameters
    ----------
    network : HardwareNetwork
        The network that answers.
    inputs : (samples, inputs) ndarray
        Inputs from which the requests are drawn.
    rate : float
        Requests per second [1/s].
    queue : int
        Most requests on the chip at once; any more are refused.
    seed : int
        Seed of the arrival times and of the choice of inputs.

    Attributes
    ----------
    chosen, predicted, arrived, answered : list of int
        For each answered request: its input, the predicted class, and the times of arrival and answer [ps].
    refused : int
        Requests that found the queue full.
    present, largest : int
        Requests on the chip now, and the most so far.
    """

    network: HardwareNetwork
    inputs: Floats
    rate: float
    queue: int
    seed: int
    chosen: list[int] = field(default_factory=list)
    predicted: list[int] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    refused: int = 0
    present: int = 0
    largest: int = 0

    def arrivals(self, until: int) -> Process:
        """Let requests come until ``until`` [ps], and end when the last of them is answered."""
        chip, rng = self.network.chip, stream(self.seed, Purpose.ARRIVALS)
        under_way = []
        while True:
            gap = picoseconds(rng.exponential(1.0 / self.rate))
            sample = int(rng.integers(len(self.inputs)))
            if chip.clock + gap > until:
                break
            yield from chip.wait_until(chip.clock + gap)
            if self.present == self.queue:
                self.refused += 1
                continue
            under_way.append(chip.start(self._request(sample)))
        yield from chip.wait_until(until)
        yield chip.environment.all_of(under_way)

    def _request(self, sample: int) -> Process:
        """Answer one request."""
        chip = self.network.chip
        arrived = chip.clock
        self.present += 1
        self.largest = max(self.largest, self.present)
        activities = yield from self.network.forward(self.inputs[sample : sample + 1], Priority.INFERENCE)
        self.present -= 1
        self.chosen.append(sample)
        self.predicted.append(int(activities[-1][0].argmax()))
        self.arrived.append(arrived)
        self.answered.append(chip.clock)

    def latencies(self) -> Floats:
        """Return how long each answer took [s]."""
        return np.asarray((np.array(self.answered) - np.array(self.arrived)) * PICOSECOND)
