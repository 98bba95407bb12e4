"""A network of torch on a chip: calibration, training and use treat it as any other HardwareNetwork."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from circuitmem.calibration import CalibrationRecord
from circuitmem.control import Chip, Priority, Process
from circuitmem.network import BackwardMap, Cut, HardwareLayer, HardwareNetwork
from circuitmem.rng import Purpose, stream_key
from circuitmem.torch.bring_up import chip_of, measure_norms
from circuitmem.torch.cuts import cuts_of
from circuitmem.torch.observe import crossbar_layers
from circuitmem.torch.passes import as_process
from circuitmem.torch.product import TileProduct
from circuitmem.torch.state import as_array, network_state, optimiser_state, restore_network, restore_optimiser
from circuitmem.torch.twin import AT_ONCE, Twin
from circuitmem.training.optimisers import Optimiser

__all__ = ["SAMPLE", "MakeOptimiser", "TorchNetwork", "TorchOptimiser", "default_optimiser"]

Floats = NDArray[np.float64]

MakeOptimiser = Callable[[Any], torch.optim.Optimizer]

SAMPLE = 1000
"""Number of training inputs from which ranges of inputs and statistics of norms are learnt."""


class TorchNetwork(HardwareNetwork):
    """The layers of a network of torch on a chip; whatever else the network does is digital.

    Parameters
    ----------
    net : torch.nn.Module
        From :func:`convert`; it is in ``eval()`` except while it learns.
    seed : int
        Seed of what its modules draw, as dropout does; the time on the chip is the address of a draw.
    """

    fixed_ranges: ClassVar[frozenset[int]] = frozenset()

    def __init__(self, net: torch.nn.Module, seed: int) -> None:
        self.net, self.seed = net.eval(), seed
        self.chip: Chip = chip_of(net)
        self._modules = crossbar_layers(net)
        self.products: list[TileProduct] = [own for layer in self._modules.values() for own in layer.products]
        self.layers: list[HardwareLayer] = [product.layer for product in self.products]
        self.model: Any = Twin(net, seed)
        for product in self.products:
            product.warns = product.chooses_gains = False  # warnings of a run say more, and its steps choose gains
        self._passed: torch.Tensor | None = None

    @property
    def parts(self) -> list[tuple[str | None, list[HardwareLayer]]]:
        """The parts that results list: each module on tiles, by its name, with the layers of its groups."""
        return [(name, [product.layer for product in own.products]) for name, own in self._modules.items()]

    def state(self) -> dict[str, Any]:
        """Return what use and training of the network change, for a checkpoint; its chip has a state of its own."""
        self.model.push()
        return network_state(self.net)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""
        restore_network(self.net, state)
        self.model.pull()

    def forward(self, inputs: NDArray[Any], priority: Priority = Priority.NORMAL) -> Process:
        """Return the outputs of a forward pass on the tiles, (batch, outputs), as the only entry of a list."""
        self.model.push()
        self._draw()
        given = self.model.tensor(inputs)
        return [as_array((yield from as_process(lambda: self.net(given), priority))).astype(np.float64)]

    def learning_pass(self, inputs: NDArray[Any]) -> Process:
        """Do a forward pass in ``train()``, and keep what :meth:`back` needs."""
        self.model.push()
        self._draw()
        given = self.model.tensor(inputs)
        for product in self.products:
            product.seen = []
        self.net.train()
        try:
            self._passed = yield from as_process(lambda: self.net(given), gradients=True)
        finally:
            self.net.eval()
        activities = [np.concatenate(product.seen or [product.layer.seen]) for product in self.products]
        for product, own in zip(self.products, activities, strict=True):
            product.layer.seen, product.seen = np.abs(own), None
        return [*activities, as_array(self._passed).astype(np.float64)]

    def back(
        self,
        activities: list[Floats],  # noqa: ARG002
        error: Floats,
        maps: Sequence[BackwardMap],
    ) -> tuple[list[Floats], list[Floats]]:
        """Back-propagate an error through the last :meth:`learning_pass`, layers on tiles through ``maps``."""
        outputs, self._passed = self._passed, None
        assert outputs is not None
        self.net.zero_grad(set_to_none=True)
        for product, own in zip(self.products, maps, strict=True):
            product.way_back = own
        try:
            outputs.backward(torch.from_numpy(error).to(outputs.dtype))
        finally:
            for product in self.products:
                product.way_back = None
        found: tuple[list[Floats], list[Floats]] = self.model.gradients()
        return found

    def outputs(self, inputs: NDArray[Any], batch: int = AT_ONCE) -> Process:
        """Return the outputs for each input, (samples, outputs), as the hardware computes them."""
        found = []
        for start in range(0, max(len(inputs), 1), batch):
            found.append((yield from self.forward(inputs[start : start + batch]))[-1])  # noqa: PERF401
        return np.concatenate(found)

    def program(self, deadband: float) -> Process:
        """Program all layers towards the model's weights, side by side."""
        self.model.push()
        units = [unit for layer in self.layers for unit in layer.units]
        pairs = zip(self.products, self.model.weights, strict=True)
        wanted = [product.targets(weights.T) for product, weights in pairs]
        yield from self.chip.program_all(units, wanted, deadband)

    def cuts(self, inputs: NDArray[Any]) -> Iterator[Cut]:
        """Give a cut in front of each trained layer, but the first layer, in the order of a forward pass."""
        return cuts_of(self, inputs)

    def settle(self, inputs: NDArray[Any], record: CalibrationRecord) -> Process:
        """Measure the statistics of the norms on the chip."""
        self._draw()
        yield from as_process(partial(measure_norms, self.net, (self.model.tensor(inputs[:SAMPLE]),), record))

    def _draw(self) -> None:
        """Seed torch, so that what it draws from here on has an address as every random number has."""
        torch.manual_seed(stream_key(self.seed, Purpose.TEST, self.chip.clock)[0] % 2**63)


def default_optimiser(parameters: Any) -> torch.optim.Optimizer:
    """Return the default optimiser of training in situ."""
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)


class TorchOptimiser(Optimiser):
    """An optimiser of torch for training in situ: it returns the changes that it wants, and makes none itself.

    Parameters
    ----------
    make : callable
        Called with the parameters of a network, returns the optimiser.
    network : TorchNetwork
        The network.
    """

    def __init__(self, make: MakeOptimiser, network: TorchNetwork) -> None:
        self._network = network
        self._own = make(list(network.net.parameters()))

    def state(self) -> dict[str, Any]:
        """Return what it keeps from step to step, and its settings, for a checkpoint."""
        return optimiser_state(self._own)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""
        restore_optimiser(self._own, state)

    def changes(self, gradients: Sequence[Floats], rate: float) -> list[Floats]:  # noqa: ARG002
        """Return the wanted change of each parameter, by the gradients in torch and the optimiser's own rate."""
        twin = self._network.model
        before = [*twin.weights, *twin.biases]
        self._own.step()
        twin.pull()
        after = [*twin.weights, *twin.biases]
        twin.weights, twin.biases = before[: len(twin.weights)], before[len(twin.weights) :]
        met: set[int] = set()
        found = []
        for was, now in zip(before, after, strict=True):
            found.append(np.zeros_like(was) if id(was) in met else now - was)  # layers may share a parameter
            met.add(id(was))
        return found

    def change(self, gradient: Floats, rate: float, *memory: Floats) -> Floats:
        """Refuse to change a single parameter: torch steps all at once."""
        raise NotImplementedError
