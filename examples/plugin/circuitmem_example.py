"""One of each kind of thing that a package can add to circuitmem."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from circuitmem.calibration import Calibration
from circuitmem.config import CellLaw, DeviceSpec, MappingSpec, Spec
from circuitmem.device import Device
from circuitmem.engine import Solution
from circuitmem.errors import ValidationError
from circuitmem.rng import Purpose, stream
from circuitmem.tile import ColumnLayout, PairMapping, WeightMapping
from circuitmem.training import Optimiser, Recipe, UpdateRule


# [device]
class StairsSpec(DeviceSpec):
    """The declared numbers of a device that goes up and down in equal steps."""

    minimum_conductance: float = 1e-6
    maximum_conductance: float = 301e-6
    set_voltage: float = 2.0
    reset_voltage: float = 2.0
    set_time: float = 100e-9
    reset_time: float = 100e-9
    steps: int = 30
    spread: float = 0.05
    noise: float = 0.5e-6


class Stairs(Device):
    """Devices that go up and down in equal steps, whose size differs from device to device."""

    Spec = StairsSpec

    def __init__(self, spec, shape, seed=0, key=()):
        super().__init__(spec, shape, seed, key)
        self.nominal = (spec.maximum_conductance - spec.minimum_conductance) / spec.steps
        spread = spec.spread * stream(seed, Purpose.DEVICE, *key).standard_normal(shape)
        self.real = self.nominal * np.maximum(1.0 + spread, 0.1)

    @property
    def most(self):
        """Return how many pulses lead from one end of the range to the other."""
        return self.spec.steps

    def counts(self, wanted, present):
        """Return pulses down and up."""
        steps = np.rint((wanted - present) / self.nominal).astype(np.int64)
        return np.maximum(-steps, 0), np.maximum(steps, 0)

    def after(self, pulse, conductance, noise):
        """Return what one pulse leaves; without noise, what the digital core expects."""
        step = self.nominal if noise is None else self.real + self.spec.noise * noise
        left = conductance + (step if pulse.is_set else -step)
        return np.clip(left, self.spec.minimum_conductance, self.spec.maximum_conductance)


# [cell]
class Cubic(CellLaw):
    """A cell whose current has a cubic part, ``I = G (V + k V^3)``."""

    k: float = 0.5

    def current(self, conductance, voltage):
        """Return the current."""
        return conductance * (voltage + self.k * voltage**3)

    def slope(self, conductance, voltage):
        """Return dI/dV."""
        return conductance * (1.0 + 3.0 * self.k * voltage**2)

    def spice(self, conductance, voltage):
        """Return the current as ngspice takes it."""
        return f"{conductance}*({voltage}+{self.k!r}*{voltage}*{voltage}*{voltage})"


# [mapping]
class TwinPairsSpec(MappingSpec):
    """The declared numbers of twin pairs: none but those of every mapping, and four columns an output."""

    width: ClassVar[int] = 4


@dataclass(frozen=True)
class TwinPairs(WeightMapping):
    """Every weight on two pairs side by side, whose mean counts: noise and spread are those of two devices."""

    Spec = TwinPairsSpec

    @property
    def layout(self):
        """Two pairs an output."""
        return ColumnLayout(width=4)

    @property
    def pair(self):
        """What each of the pairs does."""
        return PairMapping(self.minimum, self.maximum, self.largest_weight)

    @property
    def scale(self):
        """Conductance per unit of weight [S]."""
        return self.pair.scale

    def conductances(self, weights, stuck=None):
        """Return (inputs, 4·outputs) S for weights (inputs, outputs)."""
        return self.pair.conductances(np.repeat(weights, 2, axis=1), stuck)

    def limits(self, stuck):
        """Return the lowest and the highest weight of each place."""
        stuck = stuck[:, : stuck.shape[1] // 4 * 4]
        return tuple(self.mean(each) for each in self.pair.limits(stuck))

    def frozen(self, stuck):
        """Return weights with a stuck device and the others without pulses, and which are to be frozen there."""
        values, broken = self.pair.frozen(stuck)
        return self.mean(values), broken[:, 0::2] | broken[:, 1::2]

    def difference(self, columns):
        """Return plus less minus, the mean of both pairs."""
        return self.mean(self.pair.difference(columns))

    def spread(self, error):
        """Return half of the error for each pair."""
        return self.pair.spread(np.repeat(0.5 * error, 2, axis=-1))

    def moved(self, slopes, weights, stuck=None):
        """Return the sum of what both pairs say: they move together."""
        each = self.pair.moved(slopes, np.repeat(weights, 2, axis=1), stuck)
        return each[:, 0::2] + each[:, 1::2]

    @staticmethod
    def mean(pairs):
        """Return one number an output for those of its pairs."""
        return 0.5 * (pairs[..., 0::2] + pairs[..., 1::2])


# [calibration]
class Floor(Spec):
    """Numbers of a calibration of one's own."""

    floor: float = 1e-3


class MedianGain(Calibration):
    """One factor an output: the median of what products should be over what they are."""

    name = "median-gain"
    Options = Floor

    def learn(self, layer, activities, kept=None):
        """Multiply the calibration vectors on the chip, and compare."""
        found = yield from layer.forward(activities, kind="calibration_read")
        wanted = activities @ layer.weights if kept is None else kept.outputs
        large = np.abs(found) > self.options.floor * np.abs(found).max()
        ratio = np.divide(wanted, found, out=np.ones_like(found), where=large)
        scale = np.median(ratio, axis=0)
        layer.correction = layer.correction.then_outputs(scale, np.zeros_like(scale))
        yield from layer.chip.compute(2 * found.size)

    def stored_words(self, layer):
        """Return one word an output."""
        return layer.partition.outputs


# [rule]
class LargestShare(UpdateRule):
    """Asks for the largest third of the changes of a step; the others are forgotten."""

    def asked(self, layer, change):
        """Return the changes that are among the largest."""
        return np.where(np.abs(change) >= np.quantile(np.abs(change), 2.0 / 3.0), change, 0.0)


# [optimiser]
class SignMomentum(Optimiser):
    """Steps of one size, in the direction of the running mean of the gradients."""

    memories = 1
    learning_rate = 0.02

    def change(self, gradient, rate, *memory):
        """Return the change of one parameter, and bring its memory up to date."""
        (mean,) = memory
        mean *= self.spec.momentum
        mean += (1.0 - self.spec.momentum) * gradient
        return -rate * np.sign(mean)


# [dataset]
def stripes():
    """Return small images of stripes at ten slants: (inputs, targets)."""
    rng = np.random.default_rng(0)
    targets = np.arange(300) % 10
    across, down = np.meshgrid(np.arange(4.0), np.arange(4.0))
    angle = np.pi * targets[:, None, None] / 10.0
    wave = np.cos(2.0 * (np.cos(angle) * across + np.sin(angle) * down))
    images = np.clip(0.5 + 0.4 * wave + 0.1 * rng.standard_normal(wave.shape), 0.0, 1.0)
    return images.reshape(300, 16), targets


# [engine]
class NoWires:
    """Computes tiles as if their wires were ideal: what a tile could do at best."""

    name = "no-wires"

    def read(self, tile, voltages):
        """Return column currents."""
        return self.solve(tile, voltages).column_current

    def solve(self, tile, voltages):
        """Return currents and voltages."""
        volts = np.atleast_2d(np.asarray(voltages, dtype=np.float64))
        word = np.broadcast_to(volts[:, :, None], (len(volts), *tile.spec.shape))
        current = tile.spec.cell.current(tile.effective_conductance, word)
        drivers = current.sum(axis=2)
        found = Solution(current.sum(axis=1), drivers, word, np.zeros_like(word), (drivers * volts).sum(axis=1))
        return found.answers(tile, np.ndim(voltages) == 1)

    def transfer_matrix(self, tile):
        """Return the conductances of the cells."""
        return tile.spec.cell.mesh_conductance(tile.effective_conductance).T

    def program(self, tile, train, *, samples=0):
        """Say that pulses of ODE devices are not for this engine."""
        raise ValidationError("engine", "must be another to program ODE devices", self.name)


# [step]
def halve(work, word):
    """Halve all weights, so that training can make each larger."""
    for weights in work.network.model.weights:
        weights *= 0.5
    yield from work.network.chip.compute(sum(weights.size for weights in work.network.model.weights))


# [method]
HALVED = Recipe("halved, then trained", ("circuitmem_example:halve", "program", "calibrate", "train"))
