"""A whole network on a chip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ChipSpec
from circuitmem.control import Chip, FloorPlan, Priority, Process
from circuitmem.network.ask import Network, joined, on_chip
from circuitmem.network.cuts import Cut, LayerCut
from circuitmem.network.digital import Perceptron, of_layers
from circuitmem.network.layer import HardwareLayer
from circuitmem.network.partition import Partition
from circuitmem.tile import WeightMapping, layout_of, mapping_of

__all__ = ["BackwardMap", "HardwareNetwork", "kernels_of", "mapping_on", "output_ranges", "partitions", "tile_counts"]

LEAST_RANGE = 1.0 / 64.0
"""Outputs with small weights get at least this fraction of their layer's range: noise would grow with the factor."""

Floats = NDArray[np.float64]


class BackwardMap(Protocol):
    """The map through which the error of a layer's sums is propagated back."""

    @property
    def weights(self) -> Floats | None:
        """The matrix that errors are multiplied by, (inputs, outputs); None if the map is not that of a matrix."""

    def gradient(self, outer: Floats) -> Floats:
        """Return the gradients of the layer's weights, from the outer products of its inputs and errors."""

    def back(self, activities: Floats, error: Floats) -> tuple[Floats, Floats]:
        """Return the gradient of the layer's weights, (inputs, outputs), and the derivative by its activities.

        Parameters
        ----------
        activities : (batch, inputs) ndarray
            The vectors that the layer multiplied.
        error : (batch, outputs) ndarray
            Derivative of the loss with respect to its sums.
        """


def partitions(
    shapes: Iterable[tuple[int, ...]], chip: ChipSpec, kernels: Iterable[bool] | None = None
) -> list[Partition]:
    """Return how each layer of a network is cut into the tiles of a chip.

    Parameters
    ----------
    shapes : iterable of (int, int)
        Inputs and outputs of each layer.
    chip : ChipSpec
        The chip.
    kernels : iterable of bool, optional
        Which layers multiply many vectors per input, as kernels of convolutions do; none when left out.
    """
    layout, every = layout_of(chip.mapping), list(shapes)
    copies = [1] * len(every) if kernels is None else [chip.kernel_copies if many else 1 for many in kernels]
    found = zip(every, copies, strict=True)
    return [Partition(size[0], size[1] * count, *chip.tile.shape, layout, count) for size, count in found]


def tile_counts(shapes: Iterable[tuple[int, ...]], chip: ChipSpec, kernels: Iterable[bool] | None = None) -> list[int]:
    """Return how many tiles each layer of a network adds to those on which earlier layers left room.

    Parameters are those of :func:`partitions`.
    """
    parts = partitions(shapes, chip, kernels)
    if not chip.packed:
        return [part.tiles for part in parts]
    plan, counts = FloorPlan(layout_of(chip.mapping).places(chip.tile.columns)), []
    for part in parts:
        first = plan.room(part.shares)
        counts.append(max(first + part.tiles - len(plan.taken), 0))
        plan.add(counts[-1], shared=True)
        plan.take(first, part.shares)
    return counts


def kernels_of(model: Network) -> list[bool]:
    """Return for each matrix whether it multiplies many vectors per input; False where layers are not known."""
    return [isinstance(model, Perceptron) and model.positions[place] > 1 for place in range(len(model.weights))]


def mapping_on(chip: ChipSpec, largest_weight: float) -> WeightMapping:
    """Return how weights up to a largest magnitude become conductances between the lines of a chip's tiles."""
    limits = np.array([chip.device.minimum_conductance, chip.device.maximum_conductance])
    low, high = (float(limit) for limit in chip.tile.cell.mesh_conductance(limits))
    return mapping_of(chip.mapping, low, high, largest_weight)


def output_ranges(chip: ChipSpec, largest: Floats, of_layer: float) -> Floats | None:
    """Return each output's range as a fraction of its layer's largest weight, (outputs,); None if all have the layer's.

    Parameters
    ----------
    chip : ChipSpec
        The chip, whose mapping chooses between the two.
    largest : (outputs,) ndarray
        Largest magnitude of weight that each output needs.
    of_layer : float
        Largest weight of the layer, > 0.
    """
    if chip.mapping.largest_weight == "layer":
        return None
    return np.maximum(largest / of_layer, LEAST_RANGE)


class HardwareNetwork:
    """The matrices of a network on a chip; biases, ReLU, pooling and the addition of partial sums are digital.

    A convolution is a layer that multiplies every patch of its maps, one after another on the same tiles.

    Parameters
    ----------
    chip : Chip
        A chip with as many tiles as the layers need.
    model : Network
        Starting weights and biases. It is copied: the attribute ``model`` is the digital core's own estimate.
    input_scales : list of float
        For each layer, the activity that the highest DAC code stands for.
    room : float
        Range of the devices relative to the largest weight of a layer, >= 1.
    """

    fixed_ranges: ClassVar[frozenset[int]] = frozenset({0})
    """Layers whose input range is not changed, because it is that of the data."""

    def __init__(self, chip: Chip, model: Network, input_scales: list[float], room: float = 1.0) -> None:
        self.chip = chip
        self.model = model.copy()
        parts = partitions([weights.shape for weights in model.weights], chip.spec, kernels_of(model))
        self.layers: list[HardwareLayer] = []
        firsts: list[int] | None
        first = 0
        for weights, scale, partition in zip(model.weights, input_scales, parts, strict=True):
            mapping = mapping_on(chip.spec, max(room * float(np.abs(weights).max()), 1e-12))
            if chip.spec.packed:
                units, firsts = chip.take_places(partition.shares)
            else:
                units, firsts = chip.units[first : first + partition.tiles], None
            layer = HardwareLayer(chip, units, partition, mapping, scale, firsts)
            layer.ranges = output_ranges(chip.spec, room * np.abs(weights).max(axis=0), mapping.largest_weight)
            self.layers.append(layer)
            first += partition.tiles

    @property
    def parts(self) -> list[tuple[str | None, list[HardwareLayer]]]:
        """The layers as results list them: each by itself, without a name."""
        return [(None, [layer]) for layer in self.layers]

    def state(self) -> dict[str, Any]:
        """Return what use and training of the network change, for a checkpoint; its chip has a state of its own."""
        return {
            "weights": self.model.weights,
            "biases": self.model.biases,
            "layers": [layer.state() for layer in self.layers],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""
        self.model = self.model.holding(state["weights"], state["biases"])
        for layer, own in zip(self.layers, state["layers"], strict=True):
            layer.restore(own)

    def forward(self, inputs: Floats, priority: Priority = Priority.NORMAL) -> Process:
        """Return what :meth:`Network.activities` returns, computed by the hardware; the outputs are last.

        Elements beyond the range of a matrix's DACs saturate and are counted. So do negative ones, unless the network
        is :attr:`~Network.signed`: then the vectors are read in two halves.

        Raises
        ------
        ValidationError
            If the inputs are not finite or not of the network's width, or if there are none.
        """
        self.model.check(inputs)
        found: list[list[Floats]] = [[] for _ in self.layers]

        def product(matrix: int, vectors: Floats) -> Process:
            sums, within = yield from self.multiply(matrix, vectors, priority)
            found[matrix].append(within)
            return sums

        outputs = yield from on_chip(self.chip, self.model.steps(inputs), product, priority)
        return [*map(joined, found), outputs]

    def multiply(self, matrix: int, vectors: Floats, priority: Priority = Priority.NORMAL) -> Process:
        """Return the products of a matrix with vectors, and the vectors clipped to the range of the DACs.

        Parameters
        ----------
        matrix : int
            Number of the layer.
        vectors : (batch, inputs) ndarray
            Vectors to multiply, in units of the layer's inputs.
        priority : Priority
            Priority of the reads, for the chip's arbiter.
        """
        layer = self.layers[matrix]
        if not (self.model.signed and (vectors < 0.0).any()):
            within = layer.within_range(vectors)
            return (yield from layer.forward(within, priority)), within
        more, less = (layer.within_range(np.maximum(sign * vectors, 0.0)) for sign in (1.0, -1.0))
        sums = yield from layer.forward(more, priority)
        taken = yield from layer.forward(less, priority)
        yield from self.chip.compute(sums.size, priority)
        return sums - taken, more - less

    def learning_pass(self, inputs: Floats) -> Process:
        """Do a forward pass that :meth:`back` can follow."""
        return self.forward(inputs)

    def back(
        self, activities: list[Floats], error: Floats, maps: Sequence[BackwardMap]
    ) -> tuple[list[Floats], list[Floats]]:
        """Back-propagate an error; returns the gradients of weights and biases, layer by layer.

        A hidden unit passes the error on if it is active and below the highest code of the layer that it feeds:
        clipped activities do not depend on the weights.

        Parameters
        ----------
        activities : list of (batch·positions, inputs) ndarray
            Vectors that each layer multiplied in a forward pass on the hardware, and the logits last.
        error : (batch, outputs) ndarray
            Derivative of the loss with respect to the logits.
        maps : sequence of BackwardMap
            The maps that the error goes back through, one per layer.
        """
        known = [own.weights for own in maps]
        through = [own for own in known if own is not None]
        if len(through) == len(known):
            ceilings = [layer.input_scale for layer in self.layers]
            outer, biases = self.model.through(through).gradients(activities, error, ceilings)
            return [own.gradient(each) for own, each in zip(maps, outer, strict=True)], biases
        model = of_layers(self.model, "in_situ.gradient adjoint")
        weights: list[Floats] = []
        biases = []
        for index in range(len(self.layers) - 1, -1, -1):
            gradient, behind = maps[index].back(activities[index], error)
            weights.insert(0, gradient)
            biases.insert(0, error.sum(axis=0))
            if index:
                follows = (activities[index] > 0.0) & (activities[index] < self.layers[index].input_scale)
                error = model.scatter(index, behind * follows)
        return weights, biases

    def cuts(self, inputs: Floats) -> Iterator[Cut]:  # noqa: ARG002
        """Give a cut in front of each layer, but the first, that multiplies one vector per input, front to back.

        Parameters
        ----------
        inputs : (samples, inputs) ndarray
            Some inputs of the network.
        """
        model = of_layers(self.model, "fine-tune")
        for index in range(1, len(self.layers)):
            if model.positions[index] == 1:
                yield LayerCut(self, model, index)

    def settle(self, inputs: Floats, record: Any) -> Process:  # noqa: ARG002
        """Finish a calibration: here there is nothing left to do."""
        yield from ()

    def outputs(self, inputs: Floats, batch: int = 500) -> Process:
        """Return the outputs of each input, (samples, outputs), as the hardware computes them."""
        found = []
        batch = self.model.at_once(batch)
        for start in range(0, max(len(inputs), 1), batch):  # the first pass refuses an empty batch
            activities = yield from self.forward(inputs[start : start + batch])
            found.append(activities[-1])
        return np.concatenate(found)

    def classify(self, inputs: Floats, batch: int = 500) -> Process:
        """Return the most likely class of each input (samples, inputs)."""
        return (yield from self.outputs(inputs, batch)).argmax(axis=1)

    def program(self, deadband: float) -> Process:
        """Program all layers towards the model's weights, side by side."""
        units = [unit for layer in self.layers for unit in layer.units]
        wanted = [layer.targets(weights) for layer, weights in zip(self.layers, self.model.weights, strict=True)]
        yield from self.chip.program_all(units, wanted, deadband)
