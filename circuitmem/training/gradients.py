"""Gradient estimates for training in situ: the maps through which the error is propagated back to the weights.

``read`` goes back through the map that the forward pass applies: the conductances found by one-hot reads some batches
ago, with the present corrections of the calibration; the effect of the designed wires on a change of a cell is computed
from the same reads (:mod:`circuitmem.training.wires`). ``ideal`` takes the digital core's weights, which were asked of
the cells but are not realised by stuck devices. ``adjoint`` is the exact gradient of the measured outputs through
wires, defects and corrections, by the adjoint network: it uses the true state of the tiles, which no chip knows, and
serves to show what knowing it would gain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.stack_gradients import weight_gradient
from circuitmem.calibration import COARSE_FROM, read_conductances
from circuitmem.control import Process
from circuitmem.network import Correction, HardwareLayer, HardwareNetwork, LayerTiling, split
from circuitmem.tile import PairMapping
from circuitmem.training.wires import WireModel

__all__ = ["AskedMap", "LinearTileMap", "ReadMap", "TileMap", "effective_map", "layer_gradient", "read_back_cells"]

Floats = NDArray[np.float64]


def read_back_cells(network: HardwareNetwork) -> Process:
    """Read all cells back; returns the measured conductances of each layer, (tiles, rows, columns) S."""
    found = []
    for layer in network.layers:
        found.append((yield from read_conductances(layer)))  # noqa: PERF401 - a comprehension cannot yield
    return found


class ReadMap:
    """The map of a layer's forward pass according to reads of its cells, and its derivatives.

    Parameters
    ----------
    layer : HardwareLayer
        The layer. The map always includes the correction that the forward pass applies at the time.
    conductances : (tiles, rows, columns) ndarray
        Conductances of its cells [S], as measured.
    wired : bool
        Whether to account for the effect of the wires on a change of a cell, if the wires are not ideal.
    """

    def __init__(self, layer: HardwareLayer, conductances: Floats, *, wired: bool = True) -> None:
        self.layer = layer
        self.conductances = conductances
        engine, spec = layer.chip.electrics.behavioral, layer.chip.spec.tile_spec
        self._threads, self._wires = engine.threads, None
        if wired and WireModel.is_needed(spec):
            self._wires = WireModel(spec, conductances, engine.threads, precision=engine.precision)
        self._known: tuple[Correction, LayerTiling, Floats] | None = None

    @property
    def weights(self) -> Floats | None:
        """The weights of the map, (inputs, outputs); None where copies have maps of their own."""
        return self._map if self.layer.partition.copies == 1 else None

    @property
    def _map(self) -> Floats:
        """The weights of the map, of all copies; computed again after the layer was calibrated or placed again."""
        now = self.layer.correction, self.layer.tiling
        if self._known is None or not (self._known[0] is now[0] and self._known[1] is now[1]):
            self._known = *now, effective_map(self.layer, self.conductances)
        return self._known[2]

    def back(self, activities: Floats, error: Floats) -> tuple[Floats, Floats]:
        """Return the gradient of the weights, and the derivative by the activities."""
        error = dealt_errors(self.layer, error)
        return _of_kernel(self.layer, self.gradient(activities.T @ error)), error @ self._map.T

    def gradient(self, outer: Floats) -> Floats:
        """Return the gradients of the layer's weights, (inputs, outputs), for outer products of inputs and errors.

        A change of a weight acts through the device that it moves: with the factors of that device, and through its
        wires.
        """
        layer, correction = self.layer, self.layer.correction
        if correction.output_scale is not None:
            outer = outer * correction.output_scale
        if type(layer.mapping) is not PairMapping:
            return self._by_cells(outer)
        given = outer, layer.tiling.lines, correction.scale, layer.weights
        if self._wires is not None:
            return self._wires.gradient(*given, layer.stuck, layer.prefactor)
        return weight_gradient(*given, stuck=layer.stuck, prefactor=layer.prefactor, threads=self._threads)

    def _by_cells(self, outer: Floats) -> Floats:
        """Return the gradients of weights by the devices that they move, whichever columns these are in."""
        layer, partition, mapping = self.layer, self.layer.partition, self.layer.mapping
        slopes, weights = np.zeros_like(self.conductances), np.zeros_like(outer)
        shares = [(partition.input_slice(tile), partition.output_slice(tile)) for tile in range(len(slopes))]
        for own, share, place in zip(slopes, shares, layer.placements, strict=True):
            own[place.cells] = mapping.spread(outer[share])
        slopes *= np.moveaxis(layer.correction.scale[layer.correction.row_groups(partition.rows)], 0, 1)
        if self._wires is not None:
            slopes = self._wires.through(slopes)
        if layer.prefactor is not None:
            slopes *= layer.prefactor
        for tile, (share, place) in enumerate(zip(shares, layer.placements, strict=True)):
            stuck = None if layer.stuck is None else layer.stuck[tile][place.cells]
            weights[share] = mapping.moved(slopes[tile][place.cells], layer.weights[share], stuck) / mapping.scale
        return weights


def effective_map(layer: HardwareLayer, conductances: Floats) -> Floats:
    """Return the weights of the map that a layer's forward pass applies, (inputs, outputs).

    A cell's conductance is multiplied by the factor of the correction for its column and group of word lines, and its
    digitally subtracted excess is taken away; the result of an output's columns is multiplied by the factor of the
    output.

    Parameters
    ----------
    layer : HardwareLayer
        The layer, with the correction that its forward pass applies now.
    conductances : (tiles, rows, columns) ndarray
        Conductances of its cells [S], as measured.
    """
    correction, partition = layer.correction, layer.partition
    factors = np.moveaxis(correction.scale[correction.row_groups(partition.rows)], 0, 1)
    weights = np.zeros((partition.inputs, partition.outputs))
    for index, place in enumerate(layer.placements):
        corrected = factors[index] * conductances[index]
        if correction.excess is not None and correction.left is not None:
            corrected -= correction.excess[index]
            # Cells this far above the range are read in coarse steps, and pulses cannot move them: keep what was left.
            fixed = (correction.excess[index] != 0.0) & (conductances[index] > COARSE_FROM * layer.mapping.maximum)
            corrected = np.where(fixed, correction.left[index], corrected)
        own = partition.input_slice(index), partition.output_slice(index)
        weights[own] = layer.mapping.difference(corrected[place.cells]) / layer.mapping.scale
    if layer.ranges is not None:
        weights *= layer.of_copies(layer.ranges)
    return weights if correction.output_scale is None else weights * correction.output_scale


class AskedMap:
    """Back-propagation through the weights that were asked of a layer, which its product stands for."""

    def __init__(self, layer: HardwareLayer) -> None:
        self.layer = layer

    @property
    def weights(self) -> Floats:
        """The weights, (inputs, outputs)."""
        return self.layer.kernel

    def gradient(self, outer: Floats) -> Floats:
        """Return the gradients of the weights: the outer products of inputs and errors themselves."""
        return outer

    def back(self, activities: Floats, error: Floats) -> tuple[Floats, Floats]:
        """Return the gradient of the weights, and the derivative by the activities."""
        return activities.T @ error, error @ self.weights.T


class TileMap:
    """Back-propagation through the tiles of a layer in their true state, by :func:`layer_gradient`."""

    weights = None

    def __init__(self, layer: HardwareLayer) -> None:
        self.layer = layer

    def gradient(self, outer: Floats) -> Floats:
        """Refuse: outer products do not determine the effect of a weight."""
        raise NotImplementedError

    def back(self, activities: Floats, error: Floats) -> tuple[Floats, Floats]:
        """Return the gradient of the weights, and the derivative by the activities."""
        return layer_gradient(self.layer, activities, error)


class LinearTileMap:
    """The tiles of a layer in their true state, for linear cells: a matrix, for networks with their own backward pass.

    The DACs are assumed to drive exact values, not the nearest codes: a sum of outer products of many inputs and errors
    has no code.
    """

    def __init__(self, layer: HardwareLayer) -> None:
        self.layer = layer

    @property
    def weights(self) -> Floats:
        """The derivatives of the sums with respect to the activities, (inputs, outputs)."""
        layer, found = self.layer, np.zeros((self.layer.partition.outputs, self.layer.partition.inputs))
        error = _by_currents(layer, np.eye(len(found)))
        for index in range(len(layer.units)):
            columns, currents = _by_columns(layer, index, error)
            _add_behind(layer, index, columns, _drive(layer, index, currents), found)
        return found.T

    def gradient(self, outer: Floats) -> Floats:
        """Return the gradients of the weights, for outer products of inputs and errors."""
        return layer_gradient(self.layer, np.eye(len(outer)), outer, quantised=False)[0]

    def back(self, activities: Floats, error: Floats) -> tuple[Floats, Floats]:
        """Return the gradient of the weights, and the derivative by the activities."""
        return self.gradient(activities.T @ error), error @ self.weights.T


def layer_gradient(
    layer: HardwareLayer, activities: Floats, error: Floats, *, quantised: bool = True, stuck_follow: bool = True
) -> tuple[Floats, Floats]:
    """Return the gradients of a layer's weights, (inputs, outputs), and of its activities, (batch, inputs).

    The converters are taken as linear, with their nominal slope. The mapping determines which devices a weight moves:
    in a pair the one of its sign, while the other stays at its minimum.

    Parameters
    ----------
    layer : HardwareLayer
        The layer.
    activities : (batch, inputs) ndarray
        Its inputs in the forward pass.
    error : (batch, outputs) ndarray
        Derivative of the loss with respect to its sums.
    quantised : bool
        Whether the DACs drove the voltages of the nearest codes, or exactly what was asked.
    stuck_follow : bool
        Whether a weight whose device is stuck still gets the derivative by that device, for a trainer that does not
        know of it; otherwise it gets 0.
    """
    partition, groups = layer.partition, layer.correction.groups
    error = _by_currents(layer, dealt_errors(layer, error))
    weights, inputs = np.zeros((partition.inputs, partition.outputs)), np.zeros_like(activities)
    for index, (unit, codes) in enumerate(zip(layer.units, layer.input_codes(activities), strict=True)):
        place = layer.placements[index]
        columns, currents = _by_columns(layer, index, error)
        if quantised:
            voltages = unit.readout.dac.voltages(split(codes, groups)).reshape(groups, len(codes), -1)
        else:
            lines = split(layer.line_voltages(index, activities), groups)
            voltages = lines.reshape(groups, len(codes), -1)
        conductance, drive = _through(layer, index, voltages, currents)
        if not stuck_follow:
            conductance = np.where(unit.tile.stuck, 0.0, conductance)
        _add_behind(layer, index, columns, drive, inputs)
        own = partition.input_slice(index), partition.output_slice(index)
        if layer.prefactor is not None:
            conductance = conductance * layer.prefactor[index]
        stuck = None if layer.stuck is None else layer.stuck[index][place.cells]
        weights[own] = layer.mapping.moved(conductance[place.cells], layer.weights[own], stuck)
    if layer.ranges is not None:
        weights /= layer.of_copies(layer.ranges)
    return _of_kernel(layer, weights), inputs


def dealt_errors(layer: HardwareLayer, error: Floats) -> Floats:
    """Return the derivatives by the sums of all copies of a layer; the copies take the vectors in turn."""
    copies, (batch, outputs) = layer.partition.copies, error.shape
    if copies == 1:
        return error
    found = np.zeros((batch, copies, outputs))
    found[np.arange(batch), np.arange(batch) % copies] = error
    return found.reshape(batch, -1)


def _of_kernel(layer: HardwareLayer, gradient: Floats) -> Floats:
    """Return the gradient of the weights that the copies of a layer have in common."""
    if layer.partition.copies == 1:
        return gradient
    return np.asarray(gradient.reshape(len(gradient), layer.partition.copies, -1).sum(axis=1))


def _by_currents(layer: HardwareLayer, error: Floats) -> Floats:
    """Return the derivative by the currents that make up a layer's sums, given the derivative by the sums."""
    scale = layer.correction.output_scale
    return (error if scale is None else error * scale) / layer.current_scale


def _by_columns(layer: HardwareLayer, index: int, error: Floats) -> tuple[Floats, Floats]:
    """Return the derivatives by a tile's corrected column currents, and by the measured ones, group by group."""
    columns = np.zeros((len(error), layer.chip.spec.tile.columns))
    own = error[:, layer.partition.output_slice(index)]
    columns[:, layer.placements[index].columns] = layer.mapping.spread(own)
    return columns, columns * layer.correction.scale[:, index, None, :]


def _add_behind(layer: HardwareLayer, index: int, columns: Floats, drive: Floats, inputs: Floats) -> None:
    """Add a tile's share of the derivative by the activities, (batch, inputs), given that by its driver voltages."""
    correction, partition = layer.correction, layer.partition
    row_group = correction.row_groups(partition.rows)
    back = drive[row_group, :, np.arange(partition.rows)].T
    if correction.excess is not None:
        back = back - columns @ correction.excess[index].T
    volts = layer.chip.spec.converters.dac.full_scale / layer.input_scale
    inputs[:, partition.input_slice(index)] += volts * back[:, layer.placements[index].rows]


def _drive(layer: HardwareLayer, index: int, currents: Floats) -> Floats:
    """Return the derivatives by the driver voltages of a tile of linear cells, (groups, batch, rows)."""
    unit = layer.units[index]
    matrix, _ = layer.chip.electrics.transfers.get(unit.index, unit.tile)
    return np.asarray(currents @ matrix)


def _through(layer: HardwareLayer, index: int, voltages: Floats, currents: Floats) -> tuple[Floats, Floats]:
    """Return the derivatives by the conductances of a tile and by its driver voltages, given those by its currents.

    Voltages are (groups, batch, rows), currents (groups, batch, columns). With linear cells only the sum of the outer
    products matters, so no more solutions are needed than the tile has rows or columns, whichever are fewer.
    """
    engine, tile = layer.chip.electrics.behavioral, layer.units[index].tile
    flat: Any = voltages.reshape(-1, voltages.shape[2]), currents.reshape(-1, currents.shape[2])
    if not tile.spec.cell.linear:
        found = engine.gradient(tile, *flat)
        return found.conductance, found.voltages.reshape(voltages.shape)
    rows, columns = tile.spec.shape
    if len(flat[0]) > min(rows, columns):
        outer = flat[0].T @ flat[1]
        flat = (np.eye(rows), outer) if rows <= columns else (np.ascontiguousarray(outer.T), np.eye(columns))
    conductance = engine.gradient(tile, *flat).conductance
    return conductance, _drive(layer, index, currents)
