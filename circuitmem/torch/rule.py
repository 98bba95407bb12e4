"""Update rules on layers of torch: what the optimiser wants of the weights, what is asked of the cells, and pulses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from circuitmem.config import InSituSpec
from circuitmem.control import Chip, Process
from circuitmem.network import HardwareLayer
from circuitmem.registry import find
from circuitmem.torch.module import CrossbarModule
from circuitmem.training import UpdateRule

__all__ = ["TileRule", "program_towards"]


def program_towards(layers: Sequence[CrossbarModule], deadband: float) -> Process:
    """Program layers of one chip towards their weights, side by side."""
    products = [pair for layer in layers for pair in zip(layer.products, layer.matrices(), strict=True)]
    units = [unit for product, _ in products for unit in product.layer.units]
    wanted = [product.targets(weights) for product, weights in products]
    yield from products[0][0].layer.chip.program_all(units, wanted, deadband)


class _Network:
    """What an update rule needs of a network: its chip, its layers, and how it is programmed."""

    def __init__(self, layers: Sequence[CrossbarModule]) -> None:
        self._modules = layers
        self.chip: Chip = layers[0].chip
        self.layers: list[HardwareLayer] = [product.layer for layer in layers for product in layer.products]

    def program(self, deadband: float) -> Process:
        yield from program_towards(self._modules, deadband)


class TileRule:
    """An update rule (``circuitmem list rules``) for layers of torch that share a chip.

    Parameters
    ----------
    spec : InSituSpec
        Its name and its numbers.
    layers : sequence of CrossbarModule
        The layers.
    """

    def __init__(self, spec: InSituSpec, layers: Sequence[CrossbarModule]) -> None:
        self._layers, self._chip = layers, layers[0].chip
        made: Any = find("rules", spec.rule, "in_situ.rule")
        self._rule: UpdateRule = made(spec, _Network(layers))
        self._asks_for_all = made.asked is UpdateRule.asked

    def state(self) -> dict[str, Any]:
        """Return what the rule keeps from step to step, for a checkpoint."""
        return self._rule.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""
        self._rule.restore(state)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Let the rule decide what is asked of the changes that weights undergo within this block."""
        before = [] if self._asks_for_all else [layer.weight.detach().clone() for layer in self._layers]
        yield
        for layer, old in zip(self._layers, before, strict=not self._asks_for_all):
            parts = layer.matrices_of(old), layer.matrices()
            asked = [
                was + self._rule.asked(product.layer, (now - was).T).T
                for product, was, now in zip(layer.products, *parts, strict=True)
            ]
            with torch.no_grad():
                layer.weight.copy_(_as_weight(np.concatenate(asked), layer.weight))

    def program(self) -> None:
        """Give the pulses towards the weights."""
        self._chip.run(self._rule.program())


def _as_weight(matrix: NDArray[np.float64], weight: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(matrix).reshape(weight.shape).to(weight.dtype)
